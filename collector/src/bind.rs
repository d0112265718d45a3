//! Binding: every socket is ours before the first byte is written, and each refusal says what to do.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::time::Duration;

use logboom_udp::{ReceiveSocket, bind_group, bind_multicast, kernel_receive_buffer_max};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, Listen, ListenUrl, Place, Size, Transport};

pub mod activated;
pub mod local;

use activated::Activated;
use local::LocalSocket;

/// Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 1024;

/// Sleep after a failed accept, so that running out of file descriptors does not spin.
pub const ACCEPT_SLEEP: Duration = Duration::from_millis(100);

/// Every socket of a collector.
pub struct Bound {
    /// The listeners with the ports they got, in the order of the configuration.
    pub listeners: Vec<ListenUrl>,
    /// For each UDP listener its number, and a socket for each receiver, or for the first alone.
    pub udp: Vec<(u8, Vec<Arc<ReceiveSocket>>)>,
    /// For each stream listener its number and socket.
    pub streams: Vec<(u8, StreamDoor)>,
    /// Names in the file system, taken away at the end.
    pub local: Vec<LocalSocket>,
    /// The admin listener.
    pub admin: TcpListener,
}

/// The socket of a listener whose senders wait.
pub enum StreamDoor {
    /// `tcp://` and `tls://`
    Tcp(TcpListener),
    /// `unix://`
    Unix(UnixListener),
    /// `unixgram://`, and whether systemd holds it too
    Unixgram(UnixDatagram, bool),
}

impl StreamDoor {
    /// Another handle of the same socket.
    ///
    /// # Errors
    /// When there is no file descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
            Self::Unixgram(socket, is_shared) => Ok(Self::Unixgram(socket.try_clone()?, *is_shared)),
        }
    }
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {url} ({setting}): {}", hint(.url, .error))]
pub struct BindError {
    url: ListenUrl,
    setting: &'static str,
    error: io::Error,
}

fn hint(url: &ListenUrl, error: &io::Error) -> String {
    let Place::Address(address) = &url.place else { return local::hint(error) };
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "port {port} is taken by another program; stop that, or choose another port (0 lets the kernel choose)"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "port {port} is below 1024 and this process lacks the capability CAP_NET_BIND_SERVICE; either give it \
             (`setcap cap_net_bind_service=+ep` on the program, or AmbientCapabilities= in its systemd unit), start it as root \
             with `user` set, have systemd bind it (deploy/README.md), or listen on a port of 1024 or more"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has the address {}", address.ip())
        }
        _ => error.to_string(),
    }
}

impl Bound {
    /// Takes from `activated` what systemd has bound, binds all other listeners of `config`, with a UDP socket for each of
    /// `receivers`, and the admin listener.
    ///
    /// # Errors
    /// [`BindError`] for the first that cannot be had; none is then left bound.
    pub fn bind(config: &Config, receivers: usize, mut activated: Activated) -> Result<Self, BindError> {
        let (mut listeners, mut udp, mut streams, mut local) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (number, (url, listen)) in config.listeners().enumerate() {
            let number = number as u8;
            let refused = |error| BindError { url: url.clone(), setting: "listen", error };
            let v6_only = leaves_ipv4_to_another(&url, config);
            let (door, place) = match (url.transport, &url.place) {
                (Transport::Udp, Place::Address(address)) => {
                    let sockets =
                        bind_udp(config, listen, *address, receivers, v6_only, &mut activated).map_err(refused)?;
                    let address = sockets[0].address();
                    udp.push((number, sockets.into_iter().map(Arc::new).collect()));
                    (None, Place::Address(address))
                }
                (_, Place::Address(address)) => {
                    let socket =
                        activated.tcp(*address).map_or_else(|| bind_tcp(*address, v6_only), Ok).map_err(refused)?;
                    let address = socket.local_addr().map_err(refused)?;
                    (Some(StreamDoor::Tcp(socket)), Place::Address(address))
                }
                (_, Place::Path(path)) => {
                    let door = match activated.local(path) {
                        Some(door) => door,
                        None => {
                            let (door, name) = local::bind(path, url.transport, listen).map_err(refused)?;
                            local.push(name);
                            door
                        }
                    };
                    (Some(door), url.place.clone())
                }
            };
            streams.extend(door.map(|door| (number, door)));
            listeners.push(ListenUrl { transport: url.transport, place });
        }
        activated.warn_of_unused();
        let place = Place::Address(config.admin.listen);
        let refused =
            |error| BindError { url: ListenUrl { transport: Transport::Tcp, place }, setting: "admin.listen", error };
        let admin = bind_tcp(config.admin.listen, false).map_err(refused)?;
        Ok(Self { listeners, udp, streams, local, admin })
    }

    /// A warning where the kernel gave a smaller receive buffer than was asked for: how much, and how to have it all.
    #[must_use]
    pub fn receive_buffer_warning(&self, asked: Size) -> Option<String> {
        let granted = |socket: &Arc<ReceiveSocket>| socket.receive_buffer_bytes().unwrap_or_default() as u64;
        let least = self.udp.iter().flat_map(|(_, sockets)| sockets).map(granted).min()?;
        (least < asked.get()).then(|| {
            let limit = kernel_receive_buffer_max().map_or_else(|_| "unknown".to_owned(), |bytes| bytes.to_string());
            format!(
                "the kernel granted a receive buffer of {} to each socket, but receive.buffer asks for {asked}: bursts are \
                 lost sooner; run `sysctl -w net.core.rmem_max={}` (now {limit}), or give the process CAP_NET_ADMIN",
                Size::bytes(least),
                asked.get(),
            )
        })
    }
}

fn bind_udp(
    config: &Config,
    listen: &Listen,
    address: SocketAddr,
    receivers: usize,
    v6_only: bool,
    activated: &mut Activated,
) -> io::Result<Vec<ReceiveSocket>> {
    let buffer_bytes = config.receive.buffer.as_usize();
    let mut sockets = activated.udp(address, buffer_bytes)?;
    if sockets.len() > receivers {
        return Err(io::Error::other(format!(
            "systemd passed {} sockets for it, but there are {receivers} receivers: nobody would read what comes to the others; \
             raise receive.threads",
            sockets.len()
        )));
    }
    let interface = listen.interface.as_deref().map_or(Ok(0), interface_number)?;
    if !address.ip().is_multicast() {
        if sockets.is_empty() {
            sockets = bind_group(address, receivers, buffer_bytes, v6_only)?;
        }
    } else if sockets.is_empty() {
        sockets = vec![bind_multicast(address, interface, buffer_bytes)?];
    } else {
        sockets.iter().try_for_each(|socket| socket.join_multicast(interface))?;
    }
    if config.receive.gro {
        sockets.iter().try_for_each(ReceiveSocket::join_segments)?;
    }
    Ok(sockets)
}

/// The number by which the kernel knows an interface.
fn interface_number(name: &str) -> io::Result<u32> {
    let is_name = !name.is_empty() && !name.contains('/') && name != "..";
    let path = format!("/sys/class/net/{name}/ifindex");
    let number =
        if is_name { std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()) } else { None };
    number.ok_or_else(|| io::Error::other(format!("there is no network interface `{name}` (interface)")))
}

fn bind_tcp(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of the last run that linger in TIME_WAIT must not hold up this one; a live listener still does.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// `[::]` takes IPv4 too, unless the same port is listed for IPv4.
fn leaves_ipv4_to_another(url: &ListenUrl, config: &Config) -> bool {
    let Place::Address(address) = url.place else { return false };
    let is_datagrams = |url: &ListenUrl| url.transport == Transport::Udp;
    address.ip() == IpAddr::from([0u16; 8])
        && config.listeners().any(|(other, _)| {
            is_datagrams(&other) == is_datagrams(url)
                && matches!(other.place, Place::Address(other) if other.is_ipv4() && other.port() == address.port())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(urls: &[&str]) -> Config {
        let mut config = Config { listen: urls.iter().map(|url| url.parse().unwrap()).collect(), ..Config::default() };
        config.admin.listen = ([127, 0, 0, 1], 0).into();
        config
    }

    fn bind(config: &Config, receivers: usize) -> Result<Bound, BindError> {
        Bound::bind(config, receivers, Activated::default())
    }

    #[test]
    fn a_taken_port_names_the_port_and_the_setting() {
        let first = bind(&config(&["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]), 2).unwrap();
        for url in first.listeners.iter().map(ToString::to_string) {
            let refused = bind(&config(&[&url]), 2).err().unwrap().to_string();
            let port = url.rsplit_once(':').unwrap().1;
            assert!(refused.contains(&format!("{url} (listen): port {port} is taken")), "{refused}");
        }
        let mut second = config(&["udp://127.0.0.1:0"]);
        second.admin.listen = first.admin.local_addr().unwrap();
        let refused = bind(&second, 1).err().unwrap().to_string();
        assert!(refused.contains("(admin.listen): port"), "{refused}");
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        let refused = bind(&config(&["udp://192.0.2.1:0"]), 1).err().unwrap().to_string();
        assert!(refused.contains("no interface of this machine has the address 192.0.2.1"), "{refused}");
    }

    #[test]
    fn a_privileged_port_names_the_capability_and_two_ways_out() {
        let place = Place::Address("0.0.0.0:514".parse().unwrap());
        let told =
            hint(&ListenUrl { transport: Transport::Udp, place }, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(told.contains("CAP_NET_BIND_SERVICE") && told.contains("setcap"), "{told}");
        assert!(told.contains("or listen on a port of 1024 or more"), "{told}");
    }

    #[test]
    fn the_any_address_of_ipv6_leaves_a_listed_ipv4_port_alone() {
        let config = config(&["udp://[::]:514", "udp://10.0.0.1:514", "tcp://[::]:514"]);
        let leaves: Vec<bool> = config.listeners().map(|(url, _)| leaves_ipv4_to_another(&url, &config)).collect();
        assert_eq!(leaves, [true, false, false]);
    }

    #[test]
    fn a_cut_buffer_warns_with_the_sysctl() {
        let bound = bind(&config(&["udp://127.0.0.1:0"]), 1).unwrap();
        let huge = Size::mib(1 << 20);
        let warning = bound.receive_buffer_warning(huge).unwrap();
        assert!(warning.contains(&format!("sysctl -w net.core.rmem_max={}", huge.get())), "{warning}");
        assert_eq!(bound.receive_buffer_warning(Size::bytes(1)), None);
    }
}
