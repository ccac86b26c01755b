//! What the graphics driver says of the device that draws the window: that it is lost, or that something could not be
//! drawn. Without this wgpu ends the program on the second, and says nothing of the first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eframe::wgpu;

use crate::crash::Crash;

/// Watches one device. It is told by the driver, on any thread.
#[derive(Clone, Default)]
pub struct DeviceWatch(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    lost: Option<String>,
    fault: Option<Crash>,
    /// A fault comes again in every frame; the user is told once.
    has_fault: bool,
}

impl DeviceWatch {
    /// Be told of all that happens to `device` from now on. `wake` is called when it is lost, so that an idle window
    /// learns of it.
    pub fn observe(&self, device: &wgpu::Device, wake: Arc<dyn Fn() + Send + Sync>) {
        let (watch, awaken) = (self.clone(), wake.clone());
        device.set_device_lost_callback(move |_, words| {
            watch.note_loss(words);
            awaken();
        });
        let watch = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            watch.note(error);
            wake();
        }));
    }

    /// Why the device is lost, if it is: nothing can be drawn with it any more.
    pub fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    /// What could not be drawn because of an error in the program, once.
    pub fn take_fault(&self) -> Option<Crash> {
        self.lock().fault.take()
    }

    fn note(&self, error: wgpu::Error) {
        match error {
            // What did not find room is missing from now on; only a new device begins with all of the memory.
            wgpu::Error::OutOfMemory { source } => self.note_loss(format!("it is out of memory: {source}")),
            wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
                self.note_fault(description);
            }
        }
    }

    fn note_loss(&self, words: String) {
        let words = if words.is_empty() { "the driver does not say why".to_owned() } else { words };
        tracing::error!(%words, "the graphics device is lost");
        self.lock().lost.get_or_insert(words);
    }

    fn note_fault(&self, description: String) {
        let mut seen = self.lock();
        // After a loss every call fails, which is nobody's error.
        if seen.lost.is_some() || std::mem::replace(&mut seen.has_fault, true) {
            return;
        }
        tracing::error!(%description, "the graphics driver refuses to draw");
        let version = env!("CARGO_PKG_VERSION");
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        seen.fault = Some(Crash {
            summary: "Something could not be drawn because of an error in histokin itself, and may be missing from \
                      the window. What was saved is safe. Please pass the report on to whoever looks after the program"
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
        let fault = watch.take_fault().expect("told");
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
        let words = watch.lost().expect("lost");
        assert!(words.contains("out of memory") && words.contains("256 MiB"), "{words}");
    }
}
