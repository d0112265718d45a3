//! Binding: every socket is ours before the first byte is written, and each refusal says what to do.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use logboom_udp::{ReceiveSocket, bind_group, kernel_receive_buffer_max};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, ListenUrl, Size, Transport};

/// Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn.
const LISTEN_BACKLOG: i32 = 1024;

/// Every socket of a collector.
pub struct Bound {
    /// The listeners with the ports they got, in the order of the configuration.
    pub listeners: Vec<ListenUrl>,
    /// For each UDP listener its number, and a socket for each receiver.
    pub udp: Vec<(u8, Vec<Arc<ReceiveSocket>>)>,
    /// For each stream listener its number and socket.
    pub tcp: Vec<(u8, TcpListener)>,
    /// The admin listener.
    pub admin: TcpListener,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {url} ({setting}): {}", hint(.address, .error))]
pub struct BindError {
    url: String,
    setting: &'static str,
    address: SocketAddr,
    error: io::Error,
}

fn hint(address: &SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "port {port} is taken by another program; stop that, or choose another port (0 lets the kernel choose)"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "port {port} is below 1024 and this process lacks the capability CAP_NET_BIND_SERVICE; either give it \
             (`setcap cap_net_bind_service=+ep` on the program, or AmbientCapabilities= in its systemd unit), or listen on \
             a port of 1024 or more"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has the address {}", address.ip())
        }
        _ => error.to_string(),
    }
}

impl Bound {
    /// Binds all listeners of `config`, with a UDP socket for each of `receivers`, and the admin listener.
    ///
    /// # Errors
    /// [`BindError`] for the first that cannot be had; none is then left bound.
    pub fn bind(config: &Config, receivers: usize) -> Result<Self, BindError> {
        let (mut listeners, mut udp, mut tcp) = (Vec::new(), Vec::new(), Vec::new());
        for (number, url) in config.listen.iter().enumerate() {
            let number = number as u8;
            let v6_only = leaves_ipv4_to_another(url, &config.listen);
            let refused = |error| BindError { url: url.to_string(), setting: "listen", address: url.address, error };
            let address = match url.transport {
                Transport::Udp => {
                    let sockets = bind_group(url.address, receivers, config.receive.buffer.as_usize(), v6_only)
                        .map_err(refused)?;
                    if config.receive.gro {
                        sockets.iter().try_for_each(ReceiveSocket::join_segments).map_err(refused)?;
                    }
                    let address = sockets[0].address();
                    udp.push((number, sockets.into_iter().map(Arc::new).collect()));
                    address
                }
                Transport::Tcp => {
                    let socket = bind_tcp(url.address, v6_only).map_err(refused)?;
                    let address = socket.local_addr().map_err(refused)?;
                    tcp.push((number, socket));
                    address
                }
            };
            listeners.push(ListenUrl { transport: url.transport, address });
        }
        let address = config.admin.listen;
        let refused = |error| BindError { url: format!("http://{address}"), setting: "admin.listen", address, error };
        let admin = bind_tcp(address, false).map_err(refused)?;
        Ok(Self { listeners, udp, tcp, admin })
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
fn leaves_ipv4_to_another(url: &ListenUrl, all: &[ListenUrl]) -> bool {
    url.address.ip() == IpAddr::from([0u16; 8])
        && all.iter().any(|other| {
            other.transport == url.transport && other.address.is_ipv4() && other.address.port() == url.address.port()
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

    #[test]
    fn a_taken_port_names_the_port_and_the_setting() {
        let first = Bound::bind(&config(&["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]), 2).unwrap();
        for url in first.listeners.iter().map(ToString::to_string) {
            let refused = Bound::bind(&config(&[&url]), 2).err().unwrap().to_string();
            let port = url.rsplit_once(':').unwrap().1;
            assert!(refused.contains(&format!("{url} (listen): port {port} is taken")), "{refused}");
        }
        let mut second = config(&["udp://127.0.0.1:0"]);
        second.admin.listen = first.admin.local_addr().unwrap();
        let refused = Bound::bind(&second, 1).err().unwrap().to_string();
        assert!(refused.contains("(admin.listen): port"), "{refused}");
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        let refused = Bound::bind(&config(&["udp://192.0.2.1:0"]), 1).err().unwrap().to_string();
        assert!(refused.contains("no interface of this machine has the address 192.0.2.1"), "{refused}");
    }

    #[test]
    fn a_privileged_port_names_the_capability_and_two_ways_out() {
        let address = "0.0.0.0:514".parse().unwrap();
        let told = hint(&address, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(told.contains("CAP_NET_BIND_SERVICE") && told.contains("setcap"), "{told}");
        assert!(told.contains("or listen on a port of 1024 or more"), "{told}");
    }

    #[test]
    fn the_any_address_of_ipv6_leaves_a_listed_ipv4_port_alone() {
        let urls: Vec<ListenUrl> =
            ["udp://[::]:514", "udp://10.0.0.1:514", "tcp://[::]:514"].iter().map(|url| url.parse().unwrap()).collect();
        assert!(leaves_ipv4_to_another(&urls[0], &urls));
        assert!(!leaves_ipv4_to_another(&urls[1], &urls));
        assert!(!leaves_ipv4_to_another(&urls[2], &urls));
    }

    #[test]
    fn a_cut_buffer_warns_with_the_sysctl() {
        let bound = Bound::bind(&config(&["udp://127.0.0.1:0"]), 1).unwrap();
        let huge = Size::mib(1 << 20);
        let warning = bound.receive_buffer_warning(huge).unwrap();
        assert!(warning.contains(&format!("sysctl -w net.core.rmem_max={}", huge.get())), "{warning}");
        assert_eq!(bound.receive_buffer_warning(Size::bytes(1)), None);
    }
}
