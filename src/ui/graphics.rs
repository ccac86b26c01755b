//! Errors of the graphics device that draws the window: device loss, and failed drawing. Without these
//! handlers wgpu ends the program on a failed draw call and does not report device loss.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eframe::wgpu;

use crate::crash::Crash;

/// Records the errors of one device. The driver reports them on any thread.
#[derive(Clone, Default)]
pub struct DeviceWatch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    lost: Option<String>,
    fault: Option<Crash>,
    /// Whether a fault was reported; it recurs in every frame, but the user sees it once.
    has_fault: bool,
}

impl DeviceWatch {
    /// Registers for the errors of `device`. `wake` is called on each of them, so that an idle window
    /// notices.
    pub fn observe(&self, device: &wgpu::Device, wake: Arc<dyn Fn() + Send + Sync>) {
        let (watch, awaken) = (self.clone(), wake.clone());
        device.set_device_lost_callback(move |_, reason| {
            watch.note_loss(reason);
            awaken();
        });
        let watch = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            watch.note(error);
            wake();
        }));
    }

    /// Returns the reason if the device is lost; a lost device cannot draw any more.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// Returns the first drawing fault caused by an error in the program, once.
    pub fn take_fault(&self) -> Option<Crash> {
        self.lock().fault.take()
    }

    fn note(&self, error: wgpu::Error) {
        match error {
            // Resources that were not allocated stay missing; only a new device starts with all of the
            // memory.
            wgpu::Error::OutOfMemory { source } => self.note_loss(format!("out of memory: {source}")),
            wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
                self.note_fault(description);
            }
        }
    }

    fn note_loss(&self, reason: String) {
        let reason = if reason.is_empty() { "the driver gives no reason".to_owned() } else { reason };
        tracing::error!(%reason, "the graphics device is lost");
        self.lock().lost.get_or_insert(reason);
    }

    fn note_fault(&self, description: String) {
        let mut seen = self.lock();
        // After a device loss every call fails; these errors are not reported.
        if seen.lost.is_some() || std::mem::replace(&mut seen.has_fault, true) {
            return;
        }
        tracing::error!(%description, "the graphics driver refuses to draw");
        let version = env!("CARGO_PKG_VERSION");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        seen.fault = Some(Crash {
            summary: "Something could not be drawn because of an error in histokin itself, and may be missing \
                      from the window. Saved data is safe. Please send the report to the person who maintains the \
                      program"
                .to_owned(),
            report: format!("histokin {version}, {os} {arch}\nwhile: drawing\n{description}"),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(description: &str) -> wgpu::Error {
        wgpu::Error::Validation { source: description.into(), description: description.to_owned() }
    }

    #[test]
    fn an_error_is_told_once_and_none_after_the_loss() {
        let watch = DeviceWatch::default();
        watch.note(refused("the texture is too large"));
        watch.note(refused("the texture is too large"));
        let fault = watch.take_fault().expect("reported");
        assert!(fault.report.contains("the texture is too large"), "{fault:?}");
        assert_eq!((watch.take_fault(), watch.lost()), (None, None));

        let watch = DeviceWatch::default();
        watch.note_loss("the card was reset".to_owned());
        watch.note(refused("the device is invalid"));
        assert_eq!((watch.take_fault(), watch.lost().as_deref()), (None, Some("the card was reset")));
    }

    #[test]
    fn a_card_without_memory_left_is_lost() {
        let watch = DeviceWatch::default();
        watch.note(wgpu::Error::OutOfMemory { source: "no room for 256 MiB".into() });
        let reason = watch.lost().expect("lost");
        assert!(reason.contains("out of memory") && reason.contains("256 MiB"), "{reason}");
    }
}
