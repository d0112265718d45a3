//! UDP sockets in batches, and the few other system calls that the standard library does not have.
//!
//! All `unsafe` of the workspace is here, each block with the reason why it is sound. Linux only. No logging, no metrics,
//! no policy: what to do about an error is the caller's to decide.
//!
//! * [`bind_group`] and [`ReceiveSocket`]: sockets that share one port, their buffers and their drop counters;
//! * [`ReceiveRing`]: many datagrams a call, with their senders;
//! * [`Steering`]: which socket of a group a datagram goes to;
//! * [`SendBatch`]: many datagrams a call, the other way;
//! * [`queue_send_errors`] and [`take_send_error`]: what the network says about datagrams that were sent;
//!   [`hear_echo_replies_alone`]: and what it says when asked;
//! * [`activated_sockets`], [`become_user`]: ports that take a privilege, without keeping it;
//! * [`thread`]: processors and priorities of the calling thread;
//! * [`clock`]: wall clock and boot-time clock;
//! * [`mod@file`]: because all `unsafe` is here, one call on files.

mod activation;
pub mod clock;
mod errors;
pub mod file;
mod privilege;
mod receive;
mod send;
mod socket;
mod sockopt;
mod steering;
pub mod thread;

pub use activation::activated_sockets;
pub use errors::{Origin, SendError, hear_echo_replies_alone, queue_send_errors, take_send_error};
pub use privilege::{become_user, group_id};
pub use receive::{DATAGRAM_BYTES_MAX, ReceiveRing, Received};
pub use send::{SEGMENTS_MAX, SendBatch};
pub use socket::{BufferUse, ReceiveSocket, bind_group, bind_multicast, stamp_arrivals};
pub use sockopt::kernel_receive_buffer_max;
pub use steering::Steering;
