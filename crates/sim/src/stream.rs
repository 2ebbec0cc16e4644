//! Decides how requests travel: a connect round trip, the request, the response; refused where
//! nobody listens, timed out where nothing comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_proto::io::{Input, RequestError, RequestId};
use tidings_proto::limits::STREAM_BYTES_MAX;

use crate::host::Waiting;
use crate::queue::Happening;
use crate::world::World;

/// One request on its way, from the connect to the answer.
#[derive(Debug)]
pub(crate) struct Call {
    from: usize,
    from_life: u64,
    from_addr: SocketAddr,
    id: RequestId,
    to: SocketAddr,
    /// The process that took it.
    served_by: Option<(usize, u64)>,
    bytes: Arc<[u8]>,
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: BTreeMap<u64, Call>,
    numbered: u64,
}

impl World {
    pub(crate) fn call(
        &mut self,
        from: usize,
        to: SocketAddr,
        id: RequestId,
        bytes: Arc<[u8]>,
        timeout: Duration,
    ) {
        let bytes = self.spoken(from, bytes, STREAM_BYTES_MAX);
        self.keep_packet(from, true, &bytes);
        self.calls.numbered += 1;
        let call = self.calls.numbered;
        let host = &mut self.hosts[from];
        host.traffic.requests_sent += 1;
        host.traffic.stream_bytes_sent += bytes.len() as u64;
        let (from_life, from_addr) = (host.life, host.addr);
        let sent = bytes.len();
        let opened = Call { from, from_life, from_addr, id, to, served_by: None, bytes };
        self.calls.open.insert(call, opened);
        self.queue.push(self.now + timeout, Happening::CallTimeout { call });
        let Some(target) = self.host_at(to) else { return };
        self.count_far(from, target, sent);
        if let Some(delay) = self.net.stream_leg(from, target, 0, &mut self.net_rng) {
            self.queue.push(self.now + delay, Happening::Connect { call });
        }
    }

    pub(crate) fn connect(&mut self, call: u64) {
        let Some(open) = self.calls.open.get(&call) else { return };
        let Some(target) = self.host_at(open.to) else { return };
        let (from, bytes) = (open.from, open.bytes.len());
        let Some(back) = self.net.stream_leg(target, from, 0, &mut self.net_rng) else { return };
        if self.hosts[target].node.is_none() {
            let result = Err(RequestError::Refused);
            self.queue.push(self.now + back, Happening::Response { call, result });
            return;
        }
        if let Some(there) = self.net.stream_leg(from, target, bytes, &mut self.net_rng) {
            self.queue.push(self.now + back + there, Happening::Request { call });
        }
    }

    pub(crate) fn request_arrives(&mut self, call: u64) {
        let Some(open) = self.calls.open.get_mut(&call) else { return };
        let (to, from, bytes) = (open.to, open.from_addr, Arc::clone(&open.bytes));
        let Some(target) = self.host_at(to) else { return };
        if self.hosts[target].node.is_none() {
            self.break_call(call, target);
            return;
        }
        let served_by = Some((target, self.hosts[target].life));
        self.calls.open.get_mut(&call).expect("the call was found above").served_by = served_by;
        self.hosts[target].traffic.stream_bytes_received += bytes.len() as u64;
        let bytes = self.understood(target, bytes);
        self.offer(target, Waiting::Request { call, from, bytes });
    }

    /// A node answered a request that it was given under the number of the call.
    pub(crate) fn answer(&mut self, by: usize, call: u64, bytes: Arc<[u8]>) {
        self.hosts[by].traffic.stream_bytes_sent += bytes.len() as u64;
        let Some(open) = self.calls.open.get(&call) else { return };
        assert_eq!(open.served_by.map(|s| s.0), Some(by), "a response comes from who was asked");
        let to = open.from;
        self.count_far(by, to, bytes.len());
        let bytes = self.spoken(by, bytes, STREAM_BYTES_MAX);
        if let Some(delay) = self.net.stream_leg(by, to, bytes.len(), &mut self.net_rng) {
            self.queue.push(self.now + delay, Happening::Response { call, result: Ok(bytes) });
        }
    }

    pub(crate) fn close_call(&mut self, call: u64, result: Result<Arc<[u8]>, RequestError>) {
        let Some(open) = self.calls.open.remove(&call) else { return };
        if self.hosts[open.from].life != open.from_life {
            return;
        }
        if let Ok(bytes) = &result {
            self.hosts[open.from].traffic.stream_bytes_received += bytes.len() as u64;
        }
        let result = result.map(|bytes| self.understood(open.from, bytes));
        let (id, from) = (open.id.0, open.to);
        self.offer(open.from, Waiting::Response { id, from, result });
    }

    /// The process died: what it was serving breaks, what it had asked is forgotten.
    pub(crate) fn break_calls_of(&mut self, host: usize) {
        let serving: Vec<u64> = self
            .calls
            .open
            .iter()
            .filter(|(_, c)| c.served_by.is_some_and(|(by, _)| by == host))
            .map(|(&call, _)| call)
            .collect();
        for call in serving {
            self.break_call(call, host);
        }
        self.calls.open.retain(|_, c| c.from != host);
    }

    fn break_call(&mut self, call: u64, target: usize) {
        let Some(open) = self.calls.open.get(&call) else { return };
        if let Some(delay) = self.net.stream_leg(target, open.from, 0, &mut self.net_rng) {
            let result = Err(RequestError::Broken);
            self.queue.push(self.now + delay, Happening::Response { call, result });
        }
    }

    pub(crate) fn hand_request(&mut self, host: usize, call: u64, from: SocketAddr, bytes: &[u8]) {
        let id = RequestId(call);
        self.handle(host, Input::Request { from, sender: None, id, bytes });
    }

    /// Requests of this host that are under way.
    pub fn calls_open(&self, host: usize) -> usize {
        self.calls.open.values().filter(|c| c.from == host).count()
    }
}
