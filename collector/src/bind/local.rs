//! Sockets in the file system: `unix://` and `unixgram://`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::StreamDoor;
use crate::config::{Listen, Mode, Transport};

/// For who starts the collector, and that user's group.
const DEFAULT_MODE: Mode = Mode(0o660);

/// A name of ours in the file system.
#[derive(Debug)]
pub struct LocalSocket {
    path: PathBuf,
    inode: u64,
}

impl Drop for LocalSocket {
    /// Takes the name away, unless somebody else has it by now.
    fn drop(&mut self) {
        if std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket to a name, in place of one that nobody listens on any more. It has its mode and group before anybody can
/// see it: it is made under another name and then renamed.
pub(super) fn bind(path: &Path, transport: Transport, listen: &Listen) -> io::Result<(StreamDoor, LocalSocket)> {
    refuse_what_is_in_use(path, transport)?;
    let temporary = path.with_file_name(format!(".lb{}", std::process::id()));
    if std::fs::symlink_metadata(&temporary).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        let _ = std::fs::remove_file(&temporary);
    }
    let made = make(&temporary, transport, listen).and_then(|door| {
        let inode = std::fs::metadata(&temporary)?.ino();
        std::fs::rename(&temporary, path)?;
        Ok((door, LocalSocket { path: path.into(), inode }))
    });
    if made.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    made
}

fn make(path: &Path, transport: Transport, listen: &Listen) -> io::Result<StreamDoor> {
    let door = if transport == Transport::Unix {
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        StreamDoor::Unix(socket)
    } else {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        StreamDoor::Unixgram(socket, false)
    };
    let Mode(mode) = listen.mode.unwrap_or(DEFAULT_MODE);
    if let Some(name) = &listen.group {
        let group =
            logboom_udp::group_id(name).map_err(|error| io::Error::other(format!("group `{name}`: {error}")))?;
        chown(path, None, Some(group))?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(door)
}

/// A socket that somebody listens on stays, and so does whatever is no socket.
fn refuse_what_is_in_use(path: &Path, transport: Transport) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {}
    }
    let connected = match transport {
        Transport::Unix => UnixStream::connect(path).map(drop),
        _ => UnixDatagram::unbound()?.connect(path),
    };
    match connected {
        // Nobody listens (connect(2)).
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Somebody does, be it to the other kind (EPROTOTYPE).
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// What to do about it.
pub(super) fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop that, or choose another path".into(),
        io::ErrorKind::AlreadyExists => {
            "there is something that is no socket; remove it, or choose another path".into()
        }
        io::ErrorKind::NotFound => "its directory does not exist; make it, or choose another path".into(),
        io::ErrorKind::PermissionDenied => "this process may not write to its directory".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(path: &Path, transport: Transport) -> Listen {
        format!("{}://{}", transport.name(), path.display()).parse().unwrap()
    }

    #[test]
    fn a_dead_socket_is_replaced_a_live_one_and_any_other_file_are_not() {
        let directory = tempfile::tempdir().unwrap();
        for transport in [Transport::Unix, Transport::Unixgram] {
            let path = directory.path().join(transport.name());
            let bind = || bind(&path, transport, &listen(&path, transport));
            let (door, name) = bind().unwrap();
            let refused = bind().err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
            assert!(hint(&refused).contains("another program listens there"));
            drop(door);
            let (_door, again) = bind().expect("dead by now");
            drop(name);
            assert!(path.exists(), "the name is another's by now");
            drop(again);
            assert!(!path.exists());
            std::fs::write(&path, "precious").unwrap();
            assert_eq!(bind().err().unwrap().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        }
        let nowhere = directory.path().join("none/socket");
        let refused = bind(&nowhere, Transport::Unix, &listen(&nowhere, Transport::Unix)).err().unwrap();
        assert!(hint(&refused).contains("its directory does not exist"));
    }

    #[test]
    fn a_socket_has_its_mode_and_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mode = |listen: &Listen| {
            let _bound = bind(&path, Transport::Unixgram, listen).unwrap();
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777
        };
        let plain = listen(&path, Transport::Unixgram);
        assert_eq!(mode(&plain), 0o660);
        let mut other = plain;
        other.mode = Some(Mode(0o666));
        assert_eq!(mode(&other), 0o666);
        other.group = Some("no such group".into());
        let refused = bind(&path, Transport::Unixgram, &other);
        assert!(refused.err().unwrap().to_string().contains("group `no such group`"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing half-done is left");
    }
}
