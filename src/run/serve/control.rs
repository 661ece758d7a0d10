//! What a person has a focus or client do, and what it tells: a line each.

use crate::endpoint::Event;
use crate::msrp;
use crate::peers::{Order, Scripted};
use crate::wire::cpim::Cpim;
use crate::wire::sip::{Message, Method, Name};

/// The orders that a line stands for.
pub(super) fn orders(actor: &Scripted, line: &str) -> Result<Vec<Order>, String> {
    let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    let conversations = || actor.conversations().into_iter().map(str::to_owned);
    let group = |named: &str| match named {
        "" => actor.profile().groups.first().map(|group| group.focus.clone()).ok_or_else(|| "no group is hosted here".to_owned()),
        named => Ok(named.to_owned()),
    };
    Ok(match verb {
        "" => Vec::new(),
        "register" => vec![Order::Register],
        "lose" => vec![Order::Lose],
        "say" => conversations().map(|conversation| Order::Say { conversation, text: rest.to_owned(), notify: false }).collect(),
        "leave" => conversations().map(|conversation| Order::Leave { conversation }).collect(),
        "refuse" => vec![Order::Refuse { status: status(rest)? }],
        "call" => {
            let (user, text) = rest.split_once(' ').ok_or("call takes a URI and a text")?;
            vec![Order::Call { user: user.to_owned(), texts: vec![text.to_owned()], notify: false }]
        }
        "invite" => {
            let (user, named) = rest.split_once(' ').unwrap_or((rest, ""));
            vec![Order::Invite { group: group(named)?, user: user.to_owned() }]
        }
        "end" => vec![Order::End { group: group(rest)? }],
        _ => return Err(format!("`{verb}` is no order; `serve --help` lists them")),
    })
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (300..700).contains(status));
    status.ok_or_else(|| format!("`{text}` is no status of a refusal"))
}

/// What happened, for a person; `None` for what is no news.
pub(super) fn news(event: &Event) -> Option<String> {
    match event {
        Event::Request { message, .. } => match message.method()? {
            Method::Invite if !message.has_to_tag() => Some(format!("invited {}", conversation(message))),
            Method::Bye => Some("released".to_owned()),
            _ => None,
        },
        Event::Response { message, .. } => match (message.method()?, message.status()?) {
            (Method::Register, 200..=299) => Some("registered".to_owned()),
            (Method::Invite, 200..=299) => Some("joined".to_owned()),
            (method, status @ 300..) => Some(format!("error {} was answered {status}", method.token())),
            _ => None,
        },
        Event::Failed { why, .. } => Some(format!("error a request came to nothing: {why:?}")),
        Event::Msrp { event: msrp::Event::Received(incoming), .. } => {
            let message = Cpim::decode(incoming.body.clone()).ok()?;
            let text = message.content_text()?;
            let from = message.from().map_or_else(String::new, |from| from.uri.to_owned());
            // A text of several lines stays one line here.
            Some(format!("message {from} {}", text.escape_debug()))
        }
        _ => None,
    }
}

fn conversation(invite: &Message) -> &str {
    invite.value(Name::ConversationId).unwrap_or("-")
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::*;
    use crate::endpoint::{Config, Hosts};
    use crate::pattern::ast::Role;
    use crate::peers::{GroupProfile, Profile};

    fn focus() -> Scripted {
        let group = GroupProfile {
            focus: "sip:gc-1@cf.example".to_owned(),
            subject: String::new(),
            conversation_id: String::new(),
            contribution_id: String::new(),
            members: Vec::new(),
        };
        let profile = Profile { groups: vec![group], ..Profile::new(Role::Cf, "focus", "sip:gc-1@cf.example") };
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Scripted::new(profile, Config::new("focus", 1, ip, "cf.example", Arc::new(Hosts::default())))
    }

    #[test]
    fn an_order_about_no_group_is_about_the_first() {
        let (group, user) = ("sip:gc-1@cf.example".to_owned(), "sip:bob@home1.example".to_owned());
        assert_eq!(orders(&focus(), "invite sip:bob@home1.example"), Ok(vec![Order::Invite { group: group.clone(), user }]));
        assert_eq!(orders(&focus(), " end "), Ok(vec![Order::End { group }]));
        let other = Order::End { group: "sip:gc-2@cf.example".to_owned() };
        assert_eq!(orders(&focus(), "end sip:gc-2@cf.example"), Ok(vec![other]));
    }

    #[test]
    fn what_is_no_order_says_so() {
        for line in ["dance", "refuse", "refuse 200", "call sip:bob@home1.example"] {
            assert!(orders(&focus(), line).is_err(), "{line}");
        }
        assert_eq!(orders(&focus(), ""), Ok(Vec::new()));
    }
}
