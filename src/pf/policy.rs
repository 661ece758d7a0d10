//! What the operator of the reference PF decides: the typed form of the knobs that it reads.

use std::time::Duration;

use crate::policy::{Values, knob};

/// The decisions of one PF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// `bye.no-reason` is `defer`: a BYE without a usable SIP cause counts as loss (AMB-10).
    pub bye_without_reason_defers: bool,
    /// `loss.detect` (AMB-11).
    pub loss: LossDetection,
    /// `loss.grace` (AMB-11).
    pub loss_grace: Duration,
    /// `subscribe.identity` is `pf` (AMB-12).
    pub subscribe_as_pf: bool,
    /// `subscribe.expires`, in seconds.
    pub subscribe_expires: u64,
    /// `trigger.on-reregister` (AMB-14).
    pub trigger_on_reregister: bool,
    /// `trigger.delay` (AMB-50).
    pub trigger_delay: Duration,
    /// `trigger.invite-when-empty` (AMB-51).
    pub invite_when_empty: bool,
    /// `register.unknown-user`: the status of the answer.
    pub unknown_user_status: u16,
    /// `group.delivery` is `parallel` (AMB-28).
    pub parallel_delivery: bool,
    /// `group.unsubscribe-after-delivery`.
    pub unsubscribe_after_delivery: bool,
    /// `stop.codes` (AMB-24).
    pub stop_codes: Vec<u64>,
    /// `retry.count`.
    pub retry_count: u64,
    /// `retry.interval`.
    pub retry_interval: Duration,
    /// `ringing.limit`.
    pub ringing_limit: Duration,
    /// `race.window` (AMB-41).
    pub race_window: RaceWindow,
    /// `race.per-device` (AMB-44).
    pub race_per_device: bool,
    /// `device.pin-timeout` (AMB-36).
    pub pin_timeout: Option<Duration>,
    /// `accept-contact.merge` (AMB-37).
    pub merge_accept_contact: bool,
    /// `group-active.send-group-state` (AMB-13).
    pub send_group_state: bool,
    /// `group-state.if-not-accepted` is `send` (AMB-34).
    pub send_unaccepted_state: bool,
    /// `group-state.position` is `last` (AMB-34).
    pub group_state_last: bool,
    /// `group-state.wrap` is `cpim` (AMB-34).
    pub wrap_group_state: bool,
    /// `group-inactive.referred-by` (AMB-06).
    pub inactive_referrer: Referrer,
    /// `rejoin.early-accept` (AMB-20).
    pub early_accept: bool,
    /// `restart.target` is `old-focus` (AMB-38).
    pub restart_at_old_focus: bool,
    /// `restart.fail-before-drain` is `immediate` (AMB-39).
    pub failed_restart_ends_at_once: bool,
    /// `msrp.fail-status-map` is `focus` (AMB-40).
    pub report_focus_status: bool,
    /// `imdn.ways` (AMB-27).
    pub imdn_ways: ImdnWays,
    /// `imdn.instance` (AMB-26).
    pub imdn_instance: ImdnInstance,
    /// `imdn.support-detection` (AMB-25).
    pub imdn_support: ImdnSupport,
    /// `imdn.generate`.
    pub generate_imdn: bool,
    /// `imdn.releases-message`.
    pub imdn_releases_message: bool,
    /// `msrp.window`.
    pub window: usize,
    /// `msrp.chunk-size`.
    pub chunk_size: usize,
    /// `trigger.source` (AMB-02).
    pub trigger_source: TriggerSource,
    /// `sender.order` and `sender.list`.
    pub sender_order: SenderOrder,
    /// `invite.from` is `sender` (AMB-16).
    pub from_sender: bool,
    /// `invite.first-message` (AMB-18).
    pub first_message: FirstMessage,
    /// `sdp.default-accept-types`, as SDP writes them (AMB-17).
    pub default_accept_types: String,
    /// `sdp.default-wrapped-types`, as SDP writes them (AMB-17).
    pub default_wrapped_types: String,
    /// `delivered-when` (AMB-21).
    pub delivered: Delivered,
    /// `privacy.honour` (AMB-48).
    pub honour_privacy: bool,
    /// `store.drop-oldest` (AMB-31).
    pub drop_oldest: bool,
    /// `group.forget-after`.
    pub forget_after: Option<Duration>,
    /// `store.max-age` (AMB-31).
    pub max_age: Option<Duration>,
    /// `store.max-messages`, for each user (AMB-31).
    pub max_messages: u64,
    /// `store.max-size`, in bytes (AMB-31).
    pub max_size: usize,
}

/// How long a re-join collides with the PF's own INVITE (AMB-41).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RaceWindow {
    /// Until the INVITE has its final response.
    UntilFinal,
    /// Until the stored data is delivered.
    UntilDrained,
}

/// Whom Referred-By names when an inactive group is delivered (AMB-06).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Referrer {
    /// The group.
    Focus,
    /// The sender of the first message.
    FirstSender,
    /// The one sender of the session: each has one.
    PerSender,
}

/// What tells the PF that a user is available (AMB-02).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TriggerSource {
    /// A third-party REGISTER.
    pub third_party_register: bool,
    /// A NOTIFY of the reg event package.
    pub reg_event: bool,
}

/// Whose 1-1 messages are delivered first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SenderOrder {
    /// By the DateTime of the oldest message.
    DateTime,
    /// By the arrival of the oldest message.
    Arrival,
    /// These first, in this order.
    List(Vec<String>),
}

/// How the first message of a 1-1 delivery goes (AMB-18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstMessage {
    /// In the INVITE; its 200 is the delivery.
    InInviteOnly,
    /// In the INVITE, and again over MSRP.
    Both,
    /// Over MSRP.
    MsrpOnly,
}

/// What makes a message count as delivered (AMB-21).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// The 200 to its last chunk.
    Msrp200,
    /// A success report.
    SuccessReport,
    /// A disposition notification.
    Notification,
}

/// Which silent events are the loss of a Client (AMB-11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LossDetection {
    /// The session timer ran out.
    pub session_timer: bool,
    /// The MSRP connection broke.
    pub msrp_disconnect: bool,
    /// A third-party REGISTER with Expires 0 came.
    pub deregistration: bool,
    /// A request within the dialog was answered 408 or 481, or not at all.
    pub in_dialog_408_481: bool,
}

/// How stored notifications may travel (AMB-27).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImdnWays {
    /// By a session that is up with the device.
    pub ongoing: bool,
    /// By a session of their own.
    pub session: bool,
    /// By SIP MESSAGE.
    pub message: bool,
}

/// Which devices a notification INVITE names (AMB-26).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImdnInstance {
    /// In Accept-Contact, the device that is to have the notification.
    pub target: bool,
    /// In Contact, the device that made it.
    pub origin: bool,
}

/// Whether a Client can send notifications itself (AMB-25).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImdnSupport {
    /// Its SDP answer says so.
    WrappedTypes,
    /// Every Client can.
    Always,
    /// None can.
    Never,
}

impl Policy {
    /// Takes from `values` what concerns the PF.
    pub fn of(values: &Values) -> Self {
        Self {
            bye_without_reason_defers: values.is("bye.no-reason", "defer"),
            loss: LossDetection {
                session_timer: values.has("loss.detect", "session-timer"),
                msrp_disconnect: values.has("loss.detect", "msrp-disconnect"),
                deregistration: values.has("loss.detect", "deregistration"),
                in_dialog_408_481: values.has("loss.detect", "in-dialog-408-481"),
            },
            loss_grace: values.span("loss.grace").unwrap_or_default(),
            subscribe_as_pf: values.is("subscribe.identity", "pf"),
            subscribe_expires: values.count("subscribe.expires"),
            trigger_on_reregister: values.flag("trigger.on-reregister"),
            trigger_delay: values.span("trigger.delay").unwrap_or_default(),
            invite_when_empty: values.flag("trigger.invite-when-empty"),
            unknown_user_status: if values.is("register.unknown-user", "404") { 404 } else { 200 },
            parallel_delivery: values.is("group.delivery", "parallel"),
            unsubscribe_after_delivery: values.flag("group.unsubscribe-after-delivery"),
            stop_codes: values.numbers("stop.codes"),
            retry_count: values.count("retry.count"),
            retry_interval: values.span("retry.interval").unwrap_or_default(),
            ringing_limit: values.span("ringing.limit").unwrap_or_default(),
            race_window: if values.is("race.window", "until-final") { RaceWindow::UntilFinal } else { RaceWindow::UntilDrained },
            race_per_device: values.flag("race.per-device"),
            pin_timeout: values.span("device.pin-timeout"),
            merge_accept_contact: values.flag("accept-contact.merge"),
            send_group_state: values.flag("group-active.send-group-state"),
            send_unaccepted_state: values.is("group-state.if-not-accepted", "send"),
            group_state_last: values.is("group-state.position", "last"),
            wrap_group_state: values.is("group-state.wrap", "cpim"),
            inactive_referrer: match values.text("group-inactive.referred-by").replace('_', "-").as_str() {
                "first-sender" => Referrer::FirstSender,
                "per-sender-sessions" => Referrer::PerSender,
                _ => Referrer::Focus,
            },
            early_accept: values.flag("rejoin.early-accept"),
            restart_at_old_focus: values.is("restart.target", "old-focus"),
            failed_restart_ends_at_once: values.is("restart.fail-before-drain", "immediate"),
            report_focus_status: values.is("msrp.fail-status-map", "focus"),
            imdn_ways: ImdnWays {
                ongoing: values.has("imdn.ways", "ongoing"),
                session: values.has("imdn.ways", "session"),
                message: values.has("imdn.ways", "message"),
            },
            imdn_instance: ImdnInstance {
                target: !values.is("imdn.instance", "origin"),
                origin: !values.is("imdn.instance", "target"),
            },
            imdn_support: match folded(values, "imdn.support-detection") {
                "always" => ImdnSupport::Always,
                "never" => ImdnSupport::Never,
                _ => ImdnSupport::WrappedTypes,
            },
            generate_imdn: values.flag("imdn.generate"),
            imdn_releases_message: values.flag("imdn.releases-message"),
            window: usize::try_from(values.count("msrp.window")).unwrap_or(1).max(1),
            chunk_size: usize::try_from(values.count("msrp.chunk-size")).unwrap_or(2048),
            trigger_source: TriggerSource {
                third_party_register: !values.is("trigger.source", "reg-event"),
                reg_event: !values.is("trigger.source", "third-party-register"),
            },
            sender_order: match folded(values, "sender.order") {
                "arrival" => SenderOrder::Arrival,
                "list" => SenderOrder::List(values.words("sender.list")),
                _ => SenderOrder::DateTime,
            },
            from_sender: values.is("invite.from", "sender"),
            first_message: match folded(values, "invite.first-message") {
                "both" => FirstMessage::Both,
                "msrp-only" => FirstMessage::MsrpOnly,
                _ => FirstMessage::InInviteOnly,
            },
            default_accept_types: values.words("sdp.default-accept-types").join(" "),
            default_wrapped_types: values.words("sdp.default-wrapped-types").join(" "),
            delivered: match folded(values, "delivered-when") {
                "success-report" => Delivered::SuccessReport,
                "imdn" => Delivered::Notification,
                _ => Delivered::Msrp200,
            },
            honour_privacy: values.flag("privacy.honour"),
            drop_oldest: values.flag("store.drop-oldest"),
            forget_after: values.span("group.forget-after"),
            max_age: values.span("store.max-age"),
            max_messages: values.count("store.max-messages"),
            max_size: usize::try_from(values.count("store.max-size")).unwrap_or(usize::MAX),
        }
    }
}

/// The word that a choice has, in the spelling of the table.
fn folded(values: &Values, name: &str) -> &'static str {
    let words = knob(name).map_or(&[][..], |knob| knob.kind.words());
    words.iter().find(|word| values.is(name, word)).copied().unwrap_or("")
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(&Values::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_takes_the_default_readings() {
        let policy = Policy::default();
        assert!(!policy.bye_without_reason_defers);
        assert!(policy.loss.session_timer && policy.loss.msrp_disconnect && policy.loss.deregistration);
        assert_eq!(policy.race_window, RaceWindow::UntilDrained);
        assert_eq!(policy.stop_codes, [408, 480, 503]);
        assert_eq!(policy.unknown_user_status, 200);
        assert_eq!(policy.pin_timeout, None);
    }

    #[test]
    fn values_become_typed() {
        let values = Values::read([("race.window", "until_final"), ("register.unknown-user", "404"), ("retry.interval", "5s")]);
        let policy = Policy::of(&values.expect("valid"));
        assert_eq!(policy.race_window, RaceWindow::UntilFinal);
        assert_eq!(policy.unknown_user_status, 404);
        assert_eq!(policy.retry_interval, Duration::from_secs(5));
    }
}
