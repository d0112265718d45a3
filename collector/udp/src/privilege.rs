//! Becoming somebody else for good, once the ports are bound.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Makes this process the user `name`, with that user's groups and no capability (credentials(7), capabilities(7): going
/// from user id 0 to another clears every set). Takes effect in every thread (nptl(7)).
///
/// # Errors
/// NotFound when there is no such user, else what initgroups(3), setgid(2) and setuid(2) say: the process may then be neither,
/// and must end.
pub fn become_user(name: &str) -> io::Result<()> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (user, group) = ids_of(&name)?;
    // SAFETY: `name` is a C string that lives through the call.
    check(unsafe { libc::initgroups(name.as_ptr(), group) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setgid(group) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setuid(user) })?;
    // SAFETY: no pointers; it must fail.
    if user != 0 && unsafe { libc::setuid(0) } == 0 {
        return Err(io::Error::other("the privilege could be had back"));
    }
    Ok(())
}

/// The number of a group.
///
/// # Errors
/// NotFound when there is no such group, else what getgrnam_r(3) says.
pub fn group_id(name: &str) -> io::Result<u32> {
    const BYTES: usize = 64 << 10;
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut entry = MaybeUninit::<libc::group>::uninit();
    let (mut found, mut text) = (ptr::null_mut(), vec![0 as libc::c_char; BYTES]);
    // SAFETY: every pointer is to memory that lives through the call, `text` of the length stated.
    let error =
        unsafe { libc::getgrnam_r(name.as_ptr(), entry.as_mut_ptr(), text.as_mut_ptr(), BYTES, &raw mut found) };
    match (error, found.is_null()) {
        // SAFETY: found, so that the entry was filled in.
        (0, false) => Ok(unsafe { entry.assume_init() }.gr_gid),
        (0, true) => Err(io::ErrorKind::NotFound.into()),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

fn ids_of(name: &CString) -> io::Result<(libc::uid_t, libc::gid_t)> {
    const BYTES: usize = 64 << 10;
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let (mut found, mut text) = (ptr::null_mut(), vec![0 as libc::c_char; BYTES]);
    // SAFETY: every pointer is to memory that lives through the call, `text` of the length stated.
    let error =
        unsafe { libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), text.as_mut_ptr(), BYTES, &raw mut found) };
    match (error, found.is_null()) {
        (0, false) => {
            // SAFETY: found, so that the entry was filled in.
            let entry = unsafe { entry.assume_init() };
            Ok((entry.pw_uid, entry.pw_gid))
        }
        (0, true) => Err(io::ErrorKind::NotFound.into()),
        (error, _) => Err(io::Error::from_raw_os_error(error)),
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_exist_is_told() {
        assert_eq!(become_user("no such user").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(become_user("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(group_id("no such group").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(group_id("root").unwrap(), 0);
    }
}
