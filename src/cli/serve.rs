//! `cpmcheck serve`: an actor as a server on real sockets.

use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::knobs::policies;
use super::load::usable;
use super::{Console, Exit};
use crate::run::serve::{Desk, Failure, Group, Part, Server, Settings, User};
use crate::suite::scenario::Defaults;
use crate::suite::source::Sources;

const ORDERS: &str = "\
Take orders from standard input, one a line, and print what happens [focus and client].

A client: `register`, `lose` (the radio is gone: BYE with cause 503), `say TEXT` (in every group session \
that it is in), `refuse STATUS` (the next invitation), `leave` (its groups, for good), `call URI TEXT`.
A focus: `invite URI [FOCUS]`, `end [FOCUS]`; without a focus URI it is about the first group.

It prints `invited CONVERSATION`, `joined`, `registered`, `message FROM TEXT`, `released`, and `error WHY`.";

/// Arguments of `serve`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Which part: pf, cf or client
    part: Part,
    /// Read a TOML configuration; `-` reads standard input. Flags take precedence
    #[arg(long, value_name = "FILE", env = "CPMCHECK_SERVE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
    /// Take SIP here: udp:ADDRESS:PORT, tcp:…, tls:… (port 0: a free one)
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    listen: Vec<String>,
    /// Take MSRP here: ADDRESS:PORT, or tls:ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS:PORT")]
    msrp_listen: Vec<String>,
    /// The next hop: the SIP/IP core for a PF, the PF or core for a focus or client
    #[arg(long, value_name = "URI")]
    core: Option<String>,
    /// The name in Via, Contact and MSRP paths, in place of the first address
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// A user that the PF serves, or the one that the client is; without any, those of the built-in suite
    #[arg(long, value_name = "URI")]
    user: Vec<String>,
    /// Where the PF keeps what must survive, or `memory`
    #[arg(long, value_name = "FILE")]
    store: Option<String>,
    /// Turn a policy knob of the PF
    #[arg(long, value_name = "NAME=VALUE")]
    policy: Vec<String>,
    /// Our certificate chain (PEM), in place of one made for the run
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    tls_certificate: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "TLS")]
    tls_key: Option<PathBuf>,
    /// Trust peers whose certificates these have signed (PEM); without it any certificate will do
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    tls_trusted: Option<PathBuf>,
    /// Refuse peers that connect without a certificate which those have signed
    #[arg(long, help_heading = "TLS")]
    tls_mutual: bool,
    /// What to log: a level, or levels by target such as `warn,wire=debug`
    #[arg(long, value_name = "FILTER", default_value = "info", env = "CPMCHECK_LOG", hide_env = true, help_heading = "Log")]
    log: String,
    /// How to write the log
    #[arg(long, value_enum, default_value_t = LogFormat::Text, help_heading = "Log")]
    log_format: LogFormat,
    /// Take orders from standard input, one a line, and print what happens [focus and client]
    #[arg(long, long_help = ORDERS)]
    control: bool,
    /// Print the configuration that would be used, every setting explained, and end
    #[arg(long)]
    print_config: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum LogFormat {
    Text,
    Json,
}

/// Serves until a signal comes.
pub(super) fn run(args: &Args, console: &Console) -> Exit {
    let settings = match settings(args, console) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let printed = args.print_config.then(|| settings.to_toml());
    let server = match Server::plan(args.part, settings) {
        Ok(server) => server,
        Err(mistake) => return told(&mistake.into(), console),
    };
    if let Some(text) = printed {
        console.print(&text);
        return Exit::Ok;
    }
    if let Err(why) = start_log(args) {
        console.talk(&format!("error[U0021]: --log cannot be read: {why}\n   = note        exit 2\n"));
        return Exit::Usage;
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(serve(server, args.control, console)) {
            Ok(()) => Exit::Ok,
            Err(failure) => told(&failure, console),
        },
        Err(why) => {
            console.talk(&format!("error[E0720]: no runtime: {why}\n   = note        exit 7 (environment)\n"));
            Exit::Environment
        }
    }
}

async fn serve(server: Server, control: bool, console: &Console) -> Result<(), Failure> {
    let ready = |listeners: &[crate::run::serve::Listener]| {
        let line = |own: &crate::run::serve::Listener| format!("listening {own}\n");
        console.print(&format!("{}ready\n", listeners.iter().map(line).collect::<String>()));
    };
    let tell = |line: &str| {
        if control {
            console.print(&format!("{line}\n"));
        }
    };
    server.run(ready, Desk { orders: orders(control), tell }, super::signals::first()).await
}

/// The lines of standard input, as they come.
fn orders(control: bool) -> UnboundedReceiver<String> {
    let (sender, orders) = unbounded_channel();
    if control {
        let read = move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        // Reading standard input blocks, and nobody can wake it up: the thread ends with the process.
        if let Err(why) = std::thread::Builder::new().name("orders".to_owned()).spawn(read) {
            tracing::warn!(target: "serve", %why, "no orders are taken");
        }
    }
    orders
}

/// What the file says, then the flags, then the built-in suite.
fn settings(args: &Args, console: &Console) -> Result<Settings, Exit> {
    let mut settings = match &args.config {
        Some(path) => read(path, console)?,
        None => Settings::default(),
    };
    let replace = |own: &mut Vec<String>, flags: &[String]| {
        if !flags.is_empty() {
            flags.clone_into(own);
        }
    };
    replace(&mut settings.listen, &args.listen);
    replace(&mut settings.msrp_listen, &args.msrp_listen);
    let over = |own: &mut Option<String>, flag: &Option<String>| *own = flag.clone().or_else(|| own.take());
    over(&mut settings.core, &args.core);
    over(&mut settings.host, &args.host);
    over(&mut settings.store, &args.store);
    let paths = [&args.tls_certificate, &args.tls_key, &args.tls_trusted];
    let tls = &mut settings.tls;
    for (own, flag) in [&mut tls.certificate, &mut tls.key, &mut tls.trusted].into_iter().zip(paths) {
        *own = flag.clone().or_else(|| own.take());
    }
    tls.mutual |= args.tls_mutual;
    let policy = policies("--policy", &args.policy, console)?;
    settings.policy.extend(policy.into_iter().map(|(name, value)| (name, value.into())));
    if !args.user.is_empty() {
        settings.user = args.user.iter().map(|uri| User { uri: uri.clone(), ..User::default() }).collect();
    }
    if (args.part == Part::Pf && settings.user.is_empty()) || (args.part == Part::Cf && settings.group.is_empty()) {
        let defaults = usable(Sources::embedded(), console)?.defaults;
        people(args.part, &mut settings, &defaults);
    }
    Ok(settings)
}

/// The users or groups of the built-in suite, and its identity of the PF.
fn people(part: Part, settings: &mut Settings, defaults: &Defaults) {
    let uri_of = |name: &String| defaults.identities.get(name).map_or_else(|| name.clone(), |identity| identity.uri.clone());
    match part {
        Part::Pf => {
            let user = |identity: &crate::suite::scenario::Identity| User {
                uri: identity.uri.clone(),
                aliases: identity.aliases.clone(),
                ..User::default()
            };
            settings.user = defaults.identities.values().map(user).collect();
            settings.identity.get_or_insert_with(|| defaults.pf.clone());
        }
        Part::Cf => {
            let group = |group: &crate::suite::scenario::Group| Group {
                focus: group.focus.clone(),
                subject: group.subject.clone(),
                conversation_id: group.conversation_id.clone(),
                contribution_id: group.contribution_id.clone(),
                members: group.members.iter().map(uri_of).collect(),
                invite: Vec::new(),
            };
            settings.group = defaults.groups.values().map(group).collect();
        }
        Part::Client => {}
    }
}

fn read(path: &Path, console: &Console) -> Result<Settings, Exit> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|why| {
        console.talk(&format!("error[U0020]: {} cannot be read: {why}\n   = note        exit 2\n", path.display()));
        Exit::Usage
    })?;
    Settings::parse(&text).map_err(|mistake| {
        console
            .talk(&format!("error[U0020]: {} is no configuration of serve\n{mistake}\n   = note        exit 2\n", path.display()));
        Exit::Usage
    })
}

fn told(failure: &Failure, console: &Console) -> Exit {
    if let Failure::Store(why) = failure {
        let (exit, note) =
            if why.is_input() { (Exit::Input, "exit 3 (input)") } else { (Exit::Environment, "exit 7 (environment)") };
        let help = why.help();
        console.talk(&format!(
            "error[{}]: {why}\n   = try         {help}\n   = note        the file is as it was; {note}\n",
            why.code()
        ));
        return exit;
    }
    let (code, exit, note) = match failure {
        Failure::Configuration(_) => ("U0020", Exit::Usage, "exit 2 (usage)"),
        Failure::Records(_) => ("E0705", Exit::Input, "the file is as it was; exit 3 (input)"),
        Failure::Machine(_) | Failure::Store(_) => ("E0720", Exit::Environment, "nothing was served; exit 7 (environment)"),
    };
    let help = match failure {
        Failure::Records(why) => format!("   = try         {}\n", why.help()),
        Failure::Configuration(_) | Failure::Machine(_) | Failure::Store(_) => String::new(),
    };
    console.talk(&format!("error[{code}]: {failure}\n{help}   = note        {note}\n"));
    exit
}

/// The log goes to standard error.
fn start_log(args: &Args) -> Result<(), String> {
    use tracing_subscriber::EnvFilter;

    let filter = EnvFilter::try_new(&args.log).map_err(|why| why.to_string())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|why| why.to_string())
}
