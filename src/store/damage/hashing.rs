//! Values read and hashed on several threads, while one walks the tree.

use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};

use crate::store::file::pages::{DataFile, Run, Value};

/// Number of values handed to a thread at once.
const BATCH: usize = 64;
/// Number of batches that wait for a thread.
const WAITING: usize = 16;

/// A value as it goes to a thread, with whatever the caller needs to know it by.
struct Job<T> {
    subject: T,
    value: OwnedValue,
}

enum OwnedValue {
    Inside(Bytes),
    Outside(Run),
}

/// Takes values for the threads.
pub(super) struct Jobs<T> {
    batch: Vec<Job<T>>,
    sender: Sender<Vec<Job<T>>>,
}

impl<T> Jobs<T> {
    pub(super) fn push(&mut self, subject: T, value: Value<'_>) {
        let value = match value {
            Value::Inside(bytes) => OwnedValue::Inside(Bytes::copy_from_slice(bytes)),
            Value::Outside(run) => OwnedValue::Outside(run),
        };
        self.batch.push(Job { subject, value });
        if self.batch.len() == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // It fails only if every thread has panicked, which the scope tells.
        let _ = self.sender.send(std::mem::take(&mut self.batch));
    }
}

/// Runs `walk`, which hands out values, and calls `check` with each of them on other threads: with
/// its bytes and what is wrong with their pages, or with why they can't be had.
pub(super) fn on_threads<T: Send>(
    file: &DataFile,
    check: impl Fn(T, Result<(Bytes, Option<String>), String>) + Sync,
    walk: impl FnOnce(&mut Jobs<T>),
) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = bounded::<Vec<Job<T>>>(WAITING);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (receiver, check) = (receiver.clone(), &check);
            scope.spawn(move || {
                for Job { subject, value } in receiver.into_iter().flatten() {
                    check(
                        subject,
                        match value {
                            OwnedValue::Inside(bytes) => Ok((bytes, None)),
                            OwnedValue::Outside(run) => file.value_at(run),
                        },
                    );
                }
            });
        }
        drop(receiver);
        let mut jobs = Jobs { batch: Vec::with_capacity(BATCH), sender };
        walk(&mut jobs);
        jobs.flush();
    });
}
