//! A connection that is given up when the other side takes nothing for long: what waits to be written takes room.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long somebody may take nothing of what we write. Guess: longer than any network stalls that mends itself.
const STALLS: Duration = Duration::from_secs(30);

/// Patient, but not for ever.
pub struct Patient<S> {
    inner: S,
    stalls: Duration,
    /// While nothing can be written.
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// Around a connection.
    pub fn new(inner: S) -> Patient<S> {
        Patient { inner, stalls: STALLS, until: None }
    }

    /// Passes on what a write came to, unless it has waited too long.
    fn patiently<T>(&mut self, context: &mut Context, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.until = None;
            return outcome;
        }
        let stalls = self.stalls;
        let until = self.until.get_or_insert_with(|| Box::pin(sleep(stalls)));
        ready!(until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context, buffer: &mut ReadBuf) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.patiently(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context,
        slices: &[IoSlice],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.patiently(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.patiently(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.patiently(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[test]
    fn who_takes_nothing_any_more_is_given_up() {
        crate::live::runtime().unwrap().block_on(async {
            let (ours, mut theirs) = duplex(4);
            let mut ours = Patient { inner: ours, stalls: Duration::from_millis(1), until: None };
            ours.write_all(b"four").await.unwrap();
            assert_eq!(ours.write_all(b"more").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            // The time begins anew with whatever is taken.
            let mut taken = [0; 4];
            theirs.read_exact(&mut taken).await.unwrap();
            ours.write_all(b"more").await.unwrap();
            assert!(ours.until.is_none());
        });
    }
}
