//! When the stack in the tunnel is told that its link is up.

/// When the link is up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum LinkPolicy {
    /// While there is a session with any peer. While there is none, the runner asks for one, with
    /// the engine's back-off, so that waiting for the link ends when a peer can be reached. An
    /// idle tunnel makes a handshake every 180 s, which brings the link up again.
    #[default]
    Session,
    /// While the tunnel runs. A session is made when there is something to send, and an idle
    /// tunnel with keepalives off sleeps: for boards that do.
    AlwaysUp,
}
