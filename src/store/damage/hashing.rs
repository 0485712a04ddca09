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

/// What is done with each value: with its bytes and what is wrong with their pages, or with why
/// they can't be had.
type Check<'c, T> = dyn Fn(T, Result<(Bytes, Option<String>), String>) + Sync + 'c;

/// Takes values for the threads, or works on them itself if the system grants none.
pub(super) struct Jobs<'c, T> {
    file: &'c DataFile,
    check: &'c Check<'c, T>,
    batch: Vec<Job<T>>,
    sender: Option<Sender<Vec<Job<T>>>>,
}

impl<T> Jobs<'_, T> {
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
        let batch = std::mem::take(&mut self.batch);
        match &self.sender {
            // It fails only if every thread has panicked, which the scope tells.
            Some(sender) => drop(sender.send(batch)),
            None => work(self.file, self.check, batch),
        }
    }
}

fn work<T>(file: &DataFile, check: &Check<'_, T>, batch: Vec<Job<T>>) {
    for Job { subject, value } in batch {
        let read = match value {
            OwnedValue::Inside(bytes) => Ok((bytes, None)),
            OwnedValue::Outside(run) => file.value_at(run),
        };
        check(subject, read);
    }
}

/// Runs `walk`, which hands out values, and calls `check` with each of them on other threads.
pub(super) fn on_threads<T: Send>(
    file: &DataFile,
    check: &Check<'_, T>,
    walk: impl FnOnce(&mut Jobs<'_, T>),
) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = bounded::<Vec<Job<T>>>(WAITING);
    thread::scope(|scope| {
        let started = (0..threads).filter(|_| {
            let receiver = receiver.clone();
            let run = move || receiver.into_iter().for_each(|batch| work(file, check, batch));
            thread::Builder::new().spawn_scoped(scope, run).is_ok()
        });
        let sender = (started.count() > 0).then_some(sender);
        drop(receiver);
        let mut jobs = Jobs { file, check, batch: Vec::new(), sender };
        walk(&mut jobs);
        jobs.flush();
    });
}
