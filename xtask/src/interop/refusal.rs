//! Keys that do not fit: no session, and the side that can know why says why.

use anyhow::{Result, ensure};
use getrandom::{SysRng, rand_core::UnwrapErr};
use wg_core::{PresharedKey, PrivateKey, PublicKey, Refusal};

use super::scene::{OUR_INNER, V4};
use super::{Case, Scene, Tunnel};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "refusal.kernel_has_another_key",
        "we call a kernel under a wrong public key: it cannot verify mac1",
        kernel_has_another_key,
    ),
    Case::new(
        "refusal.we_have_another_key",
        "the kernel calls us under a wrong public key: we count Mac1Mismatch",
        we_have_another_key,
    ),
    Case::new(
        "refusal.we_are_unknown_to_kernel",
        "a kernel that has no such peer refuses our initiation",
        we_are_unknown_to_kernel,
    ),
    Case::new(
        "refusal.kernel_is_unknown_to_us",
        "a kernel that is no peer of ours calls: we count UnknownPeer",
        kernel_is_unknown_to_us,
    ),
    Case::new(
        "refusal.wrong_psk_in_the_kernels_response",
        "we call, and its response does not decrypt: we count ResponseUndecryptable",
        wrong_psk_in_the_kernels_response,
    ),
    Case::new(
        "refusal.wrong_psk_in_our_response",
        "the kernel calls, and refuses our response",
        wrong_psk_in_our_response,
    ),
];

fn another_public_key() -> PublicKey {
    PrivateKey::generate(&mut UnwrapErr(SysRng)).public_key()
}

fn another_preshared_key() -> PresharedKey {
    PresharedKey::generate(&mut UnwrapErr(SysRng))
}

fn kernel_has_another_key(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { kernel_key_at_ours: another_public_key(), ..Tunnel::fresh() };
    scene.set_up(&tunnel)?;
    call_in_vain(scene)?;
    scene.until_kernel_says("Invalid MAC of handshake")?;
    no_session(scene)
}

fn we_have_another_key(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { our_key_at_kernel: another_public_key(), ..Tunnel::called_by_kernel() };
    scene.set_up(&tunnel)?;
    be_called_in_vain(scene, Refusal::Mac1Mismatch)
}

fn we_are_unknown_to_kernel(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { our_key_at_kernel: another_public_key(), ..Tunnel::fresh() };
    scene.set_up(&tunnel)?;
    call_in_vain(scene)?;
    scene.until_kernel_says("Invalid handshake initiation from")?;
    no_session(scene)
}

fn kernel_is_unknown_to_us(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { kernel_key_at_ours: another_public_key(), ..Tunnel::called_by_kernel() };
    scene.set_up(&tunnel)?;
    be_called_in_vain(scene, Refusal::UnknownPeer)
}

fn wrong_psk_in_the_kernels_response(scene: &mut Scene) -> Result<()> {
    let tunnel = Tunnel { kernel_preshared_key: another_preshared_key(), ..Tunnel::fresh() };
    scene.set_up(&tunnel)?;
    call_in_vain(scene)?;
    let count = scene.peer().refused(Refusal::ResponseUndecryptable);
    ensure!(count > 0, "the response was not refused: {}", scene.peer().refusals());
    // The kernel has answered and waits; it has no session that it would send with.
    ensure!(scene.kernel_status()?.received_bytes == 148, "the kernel took more than a call");
    Ok(())
}

fn wrong_psk_in_our_response(scene: &mut Scene) -> Result<()> {
    let tunnel =
        Tunnel { our_preshared_key: another_preshared_key(), ..Tunnel::called_by_kernel() };
    scene.set_up(&tunnel)?;
    scene.run(&format!("! ping -c 1 -W 2 {}", OUR_INNER[V4]))?;
    scene.until_kernel_says("Invalid handshake response from")?;
    no_session(scene)
}

/// Pings the kernel, which must not answer.
fn call_in_vain(scene: &mut Scene) -> Result<()> {
    let to = super::scene::KERNEL_INNER[V4];
    scene.peer().inner.ping(to, 1, 56)?;
    scene.pass(core::time::Duration::from_millis(500))?;
    ensure!(scene.peer().inner.next_echo().is_none(), "the kernel answered");
    ensure!(!scene.peer().has_session(), "we have a session");
    Ok(())
}

/// Lets the kernel ping us, which we must refuse for the reason given.
fn be_called_in_vain(scene: &mut Scene, reason: Refusal) -> Result<()> {
    scene.run(&format!("! ping -c 1 -W 2 {}", OUR_INNER[V4]))?;
    let count = scene.peer().refused(reason);
    ensure!(count > 0, "not refused as {reason:?}: {}", scene.peer().refusals());
    no_session(scene)
}

fn no_session(scene: &mut Scene) -> Result<()> {
    ensure!(!scene.peer().has_session(), "we have a session");
    ensure!(scene.kernel_status()?.latest_handshake == 0, "the kernel has a session");
    Ok(())
}
