//! What the program may do besides its work: nothing.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::Failure;

/// Gives up all privileges but those of an interface, for good: `CAP_NET_ADMIN`, and
/// `CAP_NET_BIND_SERVICE`, for a listen port below 1024 can be set at any time. Threads that are
/// started later have no more than this one.
///
/// `files` keeps root's access to the files of others, too.
pub(crate) fn drop_all_but_the_network(files: bool) -> Result<(), Failure> {
    let mut kept = CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE;
    if files {
        kept |= CapabilitySet::DAC_OVERRIDE;
    }
    let dropped = capabilities(None).and_then(|sets| {
        let kept = sets.permitted & kept;
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets { effective: kept, permitted: kept, inheritable: none },
        )?;
        // Neither does a program that is started get any.
        rustix::thread::set_no_new_privs(true)
    });
    dropped.map_err(|error| Failure::Trouble(format!("cannot drop privileges: {error}")))
}
