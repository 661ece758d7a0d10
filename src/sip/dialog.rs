//! Dialogs (RFC 3261 12): early, forked and confirmed.

/// A dialog of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialogId(pub u32);

/// Which side of the request that created the dialog this node was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It sent the request.
    Uac,
    /// It answered the request.
    Uas,
}

/// How far a dialog has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Created by a provisional response.
    Early,
    /// Created or confirmed by a 2xx, or by a NOTIFY.
    Confirmed,
}

/// The state that both ends of a dialog keep (RFC 3261 12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    /// Early or confirmed.
    pub state: State,
    /// This node's side in the request that created it.
    pub side: Side,
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag.
    pub remote_tag: String,
    /// Our address as From or To carries it, without the tag.
    pub local_uri: String,
    /// The peer's address as From or To carries it, without the tag.
    pub remote_uri: String,
    /// The sequence number of our latest request.
    pub local_cseq: u32,
    /// The sequence number of the peer's latest request.
    pub remote_cseq: Option<u32>,
    /// The URI of the peer's Contact.
    pub remote_target: String,
    /// The route set, nearest hop first, each as `<sip:…;lr>`.
    pub route_set: Vec<String>,
}
