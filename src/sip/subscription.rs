//! Subscriptions (RFC 6665): the subscriber and the notifier.

use std::time::Duration;

use crate::time::{Instant, Timers};
use crate::wire::sip::header::{Token, unquote};
use crate::wire::sip::{Message, Name};

use super::timers::Timing;

/// A subscription of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionId(pub u32);

/// Subscriber (RFC 6665 4.1.2).
///
/// ```text
/// SUBSCRIBE              -> NotifyWait                               timer N
/// NOTIFY pending|active  NotifyWait | Pending | Active -> same name   stops timer N
/// NOTIFY terminated      any -> Terminated
/// timer N                any -> Terminated                           the user is told
/// before expiry          Pending | Active -> same                    SUBSCRIBE again, timer N
/// expiry                 any -> Terminated                           the user is told
/// ```
#[derive(Clone, Debug)]
pub struct Subscriber {
    state: State,
    event: Event,
    timing: Timing,
    leaving: bool,
    timers: Timers<Due>,
}

/// The states of RFC 6665 figure 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Asked for, no NOTIFY yet.
    NotifyWait,
    /// The notifier has not decided.
    Pending,
    /// Notifications flow.
    Active,
    /// Over.
    Terminated,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    /// Subscribe again before it runs out.
    Refresh,
    /// Timer N: no NOTIFY followed the SUBSCRIBE.
    NotifyMissing,
    /// It ran out.
    Expired,
}

/// An event package and the `id` that tells two subscriptions of one dialog apart
/// (RFC 6665 8.2.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    package: String,
    id: Option<String>,
}

/// How a subscription ended, as Subscription-State says (RFC 6665 4.1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// `deactivated`, `noresource`, `timeout` and others.
    pub reason: Option<String>,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
}

impl Event {
    /// The Event field of a message.
    pub fn of(message: &Message) -> Option<Self> {
        Self::parse(message.value(Name::Event)?)
    }

    /// The value of an Event field.
    pub fn parse(value: &str) -> Option<Self> {
        let token = Token::parse(value).ok()?;
        Some(Self { package: token.value.to_ascii_lowercase(), id: token.params.get("id").map(str::to_owned) })
    }

    /// The field's value.
    pub fn value(&self) -> String {
        match &self.id {
            Some(id) => format!("{};id={id}", self.package),
            None => self.package.clone(),
        }
    }
}

impl Subscriber {
    /// The first SUBSCRIBE was sent.
    pub fn start(now: Instant, event: Event, timing: Timing) -> Self {
        let mut subscriber = Self { state: State::NotifyWait, event, timing, leaving: false, timers: Timers::default() };
        subscriber.on_subscribe_sent(now);
        subscriber
    }

    /// The present state.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether we asked to end it.
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether a NOTIFY belongs to it.
    pub fn matches(&self, notify: &Message) -> bool {
        Event::of(notify).as_ref() == Some(&self.event)
    }

    /// A SUBSCRIBE was sent: a NOTIFY is owed within timer N (RFC 6665 4.1.2.4).
    pub fn on_subscribe_sent(&mut self, now: Instant) {
        self.timers.set(Due::NotifyMissing, now + self.timing.transaction());
    }

    /// The SUBSCRIBE that ends it was sent.
    pub fn on_unsubscribe_sent(&mut self, now: Instant) {
        self.leaving = true;
        self.timers.clear();
        self.on_subscribe_sent(now);
    }

    /// A SUBSCRIBE was accepted for so long.
    pub fn on_accepted(&mut self, now: Instant, expires: u32) {
        self.arm(now, expires);
    }

    /// A NOTIFY came. Its `expires` counts, should it differ from that of the 2xx (RFC 6665 4.1.3).
    pub fn on_notify(&mut self, now: Instant, notify: &Message) -> Option<Ending> {
        self.timers.stop(Due::NotifyMissing);
        let value = notify.value(Name::SubscriptionState).unwrap_or("active");
        let token = Token::parse(value).ok();
        let param = |name| token.and_then(|token| token.params.get(name));
        let name = token.map_or("active", |token| token.value);
        if name.eq_ignore_ascii_case("terminated") {
            self.terminate();
            let retry_after = param("retry-after").and_then(|seconds| seconds.parse().ok());
            return Some(Ending { reason: param("reason").map(unquote), retry_after });
        }
        self.state = if name.eq_ignore_ascii_case("pending") { State::Pending } else { State::Active };
        if let Some(expires) = param("expires").and_then(|seconds| seconds.parse().ok()) {
            self.arm(now, expires);
        }
        None
    }

    fn arm(&mut self, now: Instant, expires: u32) {
        if self.leaving {
            return;
        }
        self.timers.set(Due::Refresh, now + refresh_after(expires));
        self.timers.set(Due::Expired, now + Duration::from_secs(u64::from(expires)));
    }

    /// It is over.
    pub fn terminate(&mut self) {
        self.timers.clear();
        self.state = State::Terminated;
    }

    /// The earliest deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.timers.next().map(|(at, due)| match due {
            Due::Refresh => (at, "subscription refresh"),
            Due::NotifyMissing => (at, "N"),
            Due::Expired => (at, "subscription expiry"),
        })
    }

    /// The next thing that is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let due = self.timers.expire(now)?;
        match due {
            Due::Refresh => self.on_subscribe_sent(now),
            Due::NotifyMissing | Due::Expired => self.terminate(),
        }
        Some(due)
    }
}

/// When to refresh, as TS 24.229 5.1.1.3 does: 600 s before expiry above 1200 s, else at half.
fn refresh_after(expires: u32) -> Duration {
    let expires = Duration::from_secs(u64::from(expires));
    if expires > Duration::from_secs(1_200) { expires - Duration::from_secs(600) } else { expires / 2 }
}

/// Whether the refusal of a refresh ends the subscription at once (RFC 6665 4.1.2.2); after any
/// other it lives until it runs out.
pub const fn ends_at(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

/// Notifier (RFC 6665 4.2.1): how long a subscription that was granted to a peer still runs.
///
/// ```text
/// 2xx to SUBSCRIBE       -> Granted, Granted -> Granted    Expires of the 2xx
/// 2xx with Expires: 0    Granted -> Over                   the user sends the last NOTIFY
/// expiry                 Granted -> Over                   the user is told, and sends it
/// ```
#[derive(Clone, Debug)]
pub struct Notifier {
    event: Event,
    expires: Option<Instant>,
    last: &'static str,
}

impl Notifier {
    /// A subscription was granted for so long.
    pub fn start(now: Instant, event: Event, expires: u32) -> Self {
        let mut notifier = Self { event, expires: None, last: "timeout" };
        notifier.refresh(now, expires);
        notifier
    }

    /// It was granted once more, or ended by `expires` 0.
    pub fn refresh(&mut self, now: Instant, expires: u32) {
        self.expires = (expires > 0).then(|| now + Duration::from_secs(u64::from(expires)));
    }

    /// Its event package.
    pub const fn event(&self) -> &Event {
        &self.event
    }

    /// The value of Subscription-State for a NOTIFY sent now.
    pub fn state(&self, now: Instant) -> String {
        match self.expires {
            Some(expires) if expires > now => format!("active;expires={}", expires.since(now).as_secs()),
            Some(_) | None => format!("terminated;reason={}", self.last),
        }
    }

    /// When it runs out.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        self.expires.map(|at| (at, "subscription expiry"))
    }

    /// Whether it ran out just now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self.expires.is_some_and(|expires| expires <= now);
        if over {
            self.expires = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sip::Builder;

    #[test]
    fn timer_n_ends_a_subscription_that_is_never_notified() {
        let mut m = start();
        m.on_accepted(at(0), 3_600);
        assert_eq!(m.poll_timeout(), Some((at(32), "N")));
        assert_eq!(m.handle_timeout(at(32)), Some(Due::NotifyMissing));
        assert_eq!((m.state(), m.poll_timeout()), (State::Terminated, None));
    }

    #[test]
    fn refreshes_before_it_runs_out() {
        for (expires, refresh) in [(3_600, 3_000), (1_200, 600), (60, 30)] {
            let mut m = start();
            m.on_accepted(at(0), expires);
            m.on_notify(at(0), &notify("active"));
            assert_eq!(m.poll_timeout(), Some((at(refresh), "subscription refresh")));
            assert_eq!(m.handle_timeout(at(refresh)), Some(Due::Refresh));
            m.on_notify(at(refresh), &notify("active"));
            m.on_accepted(at(refresh), expires);
            assert_eq!(m.poll_timeout(), Some((at(2 * refresh), "subscription refresh")));
        }
    }

    #[test]
    fn runs_out_when_the_refresh_is_not_accepted() {
        let mut m = start();
        m.on_accepted(at(0), 60);
        m.on_notify(at(0), &notify("active"));
        m.handle_timeout(at(30));
        m.on_notify(at(31), &notify("active"));
        assert_eq!(m.handle_timeout(at(60)), Some(Due::Expired));
    }

    #[test]
    fn the_notifier_decides_how_long() {
        let mut m = start();
        m.on_accepted(at(0), 3_600);
        m.on_notify(at(0), &notify("active;expires=100"));
        assert_eq!(m.poll_timeout(), Some((at(50), "subscription refresh")));
    }

    #[test]
    fn terminated_says_why_and_when_to_try_again() {
        let mut m = start();
        let ending = m.on_notify(at(1), &notify("terminated;reason=probation;retry-after=30"));
        assert_eq!(ending, Some(Ending { reason: Some("probation".to_owned()), retry_after: Some(30) }));
        assert_eq!((m.state(), m.poll_timeout()), (State::Terminated, None));
    }

    #[test]
    fn after_unsubscribing_only_the_last_notify_is_waited_for() {
        let mut m = start();
        m.on_accepted(at(0), 60);
        m.on_notify(at(0), &notify("active"));
        m.on_unsubscribe_sent(at(10));
        m.on_accepted(at(10), 0);
        assert_eq!(m.poll_timeout(), Some((at(42), "N")));
    }

    #[test]
    fn a_notify_belongs_by_package_and_id() {
        let m = start();
        assert!(m.matches(&notify("active")));
        let other = Builder::of(&notify("active")).set("Event", "conference;id=2").build();
        assert!(!m.matches(&other));
    }

    #[test]
    fn a_notifier_counts_down_and_says_so() {
        let mut m = Notifier::start(at(0), event(), 60);
        assert_eq!(m.state(at(20)), "active;expires=40");
        m.refresh(at(30), 60);
        assert!(!m.handle_timeout(at(60)));
        assert!(m.handle_timeout(at(90)));
        assert!(!m.handle_timeout(at(91)));
        assert_eq!(m.state(at(91)), "terminated;reason=timeout");
    }

    const fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn start() -> Subscriber {
        Subscriber::start(at(0), event(), Timing::default())
    }

    fn event() -> Event {
        Event::of(&notify("active")).expect("an Event")
    }

    fn notify(state: &str) -> Message {
        Builder::request("NOTIFY", "sip:a").push("Event", "Conference").push("Subscription-State", state).build()
    }
}
