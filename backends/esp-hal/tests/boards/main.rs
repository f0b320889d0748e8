//! Two boards with a tunnel between them.

mod bad_days;
mod cable;
mod tunnels;
