//! Decides how the loop is woken at its deadline: once, and on time.
//!
//! A probe sets a timer and its ack sets it back. tokio's wheel wakes the process again for the
//! timer that was put off, and twice for one that is far away, which is most of what an idle node
//! costs. On Linux the deadline is therefore a timerfd; elsewhere it is a [`tokio::time::Sleep`].

pub(crate) use system::Timer;

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::{Interest, unix::AsyncFd};
    use tokio::time::Instant;

    #[derive(Debug)]
    pub(crate) struct Timer {
        timer: AsyncFd<OwnedFd>,
        set_to: Option<Instant>,
    }

    impl Timer {
        pub(crate) fn new() -> io::Result<Timer> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // Its successor is `unsafe`: it asks that the descriptor stays, as an owned one does.
            #[allow(deprecated)]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            Ok(Timer { timer, set_to: None })
        }

        /// Ready once `due` has passed; `None` is never.
        pub(crate) fn poll_until(
            &mut self,
            cx: &mut Context<'_>,
            due: Option<Instant>,
        ) -> Poll<()> {
            if self.set_to != due {
                self.set(due);
            }
            loop {
                match ready!(self.timer.poll_read_ready(cx)) {
                    Ok(mut fired) => fired.clear_ready(),
                    Err(_) => return Poll::Pending, // the runtime is shutting down
                }
                if due.is_some_and(|due| due <= Instant::now()) {
                    self.set_to = None;
                    return Poll::Ready(());
                }
            }
        }

        fn set(&mut self, due: Option<Instant>) {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let it_value = due.map_or(zero, |due| {
                let wait = due.saturating_duration_since(Instant::now());
                let wait = wait.max(Duration::from_nanos(1)); // zero would unset it
                Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }
            });
            let value = Itimerspec { it_interval: zero, it_value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)
                .expect("a timer takes any time in the future");
            self.set_to = due;
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::future::Future as _;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use tokio::time::{Instant, Sleep};

    #[derive(Debug)]
    pub(crate) struct Timer {
        sleep: Pin<Box<Sleep>>,
        set_to: Option<Instant>,
    }

    impl Timer {
        pub(crate) fn new() -> io::Result<Timer> {
            Ok(Timer { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), set_to: None })
        }

        /// Ready once `due` has passed; `None` is never.
        pub(crate) fn poll_until(
            &mut self,
            cx: &mut Context<'_>,
            due: Option<Instant>,
        ) -> Poll<()> {
            let Some(at) = due else { return Poll::Pending };
            if self.set_to != due {
                self.sleep.as_mut().reset(at);
                self.set_to = due;
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.set_to = None;
            Poll::Ready(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::Timer;

    #[tokio::test]
    async fn wakes_at_the_last_deadline_set_and_not_before() {
        let mut timer = Timer::new().unwrap();
        let start = Instant::now();
        let (soon, later) = (Duration::from_millis(5), Duration::from_millis(60));
        poll_fn(|cx| timer.poll_until(cx, Some(start + soon))).await;
        assert!(start.elapsed() >= soon);
        let _ = poll_fn(|cx| Poll::Ready(timer.poll_until(cx, Some(start + soon * 2)))).await;
        let wait = Duration::from_millis(20);
        assert!(timeout(wait, poll_fn(|cx| timer.poll_until(cx, None))).await.is_err());
        let _ = poll_fn(|cx| Poll::Ready(timer.poll_until(cx, Some(start)))).await;
        poll_fn(|cx| timer.poll_until(cx, Some(start + later))).await;
        assert!(start.elapsed() >= later);
        let past = poll_fn(|cx| timer.poll_until(cx, Some(start)));
        timeout(Duration::from_secs(5), past).await.expect("the past is due");
    }
}
