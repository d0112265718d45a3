//! The options that say how messages are sent, whatever they are: those of `run`, `compare` and `replay`.

use clap::Args;
use logboom_udp::SEGMENTS_MAX;

use crate::send::queued::QUEUED_MAX;
use crate::send::source::{PortRange, Source, SourceRange};
use crate::send::tls::TlsOptions;
use crate::send::{Framing, Overflow};
use crate::target::{Target, Transport};

#[derive(Args, Clone)]
pub(super) struct SendingOptions {
    /// Processors that the threads keep to, such as 1 or 2,3.
    #[arg(long, value_name = "CPUS", value_delimiter = ',')]
    cpu: Vec<usize>,
    /// Address to send from, or a network whose addresses the flows take in turn, such as 127.0.0.0/8.
    #[arg(long, value_name = "ADDRESS[/LEN]")]
    source: Option<SourceRange>,
    /// Ports to send from, such as 20000-20999.
    #[arg(long, value_name = "PORTS")]
    source_port: Option<PortRange>,
    /// How messages are told apart on a stream; lf unless given, but octet for tls (RFC 5425 section 4.3) with a PRI.
    #[arg(long, value_enum)]
    pub(super) framing: Option<Framing>,
    /// What happens to a message that a stream does not take at once.
    #[arg(long, value_enum, default_value_t)]
    pub(super) overflow: Overflow,
    #[command(flatten)]
    pub(super) tls: TlsOptions,
    /// Datagrams of one length that go to the kernel as one, to be cut apart there (UDP_SEGMENT): a faster sender.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=SEGMENTS_MAX as i64))]
    pub(super) gso: u8,
}

impl SendingOptions {
    /// These options without those that say nothing of `target`, where others of the same comparison may want them.
    pub(super) fn applicable(&self, target: &Target) -> Self {
        let mut options = self.clone();
        if target.transport != Transport::Tls {
            options.tls = TlsOptions::default();
        }
        if !target.transport.is_stream() {
            (options.overflow, options.framing) = (Overflow::default(), None);
        }
        if target.transport != Transport::Udp {
            options.gso = 1;
        }
        if target.transport.is_local() {
            (options.source, options.source_port) = (None, None);
        }
        options
    }

    /// Where flows come from.
    pub(super) fn source(&self) -> Source {
        Source { addresses: self.source, ports: self.source_port }
    }

    /// Processors that the threads keep to.
    pub(super) fn cpus(&self) -> Result<Vec<usize>, String> {
        if self.cpu.is_empty() {
            return Ok(Vec::new());
        }
        let allowed = logboom_udp::thread::allowed_cpus().map_err(|error| format!("--cpu: {error}"))?;
        match self.cpu.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => Err(format!("--cpu {cpu}: this process may use processors {allowed:?} only")),
            None => Ok(self.cpu.clone()),
        }
    }

    /// # Errors
    /// What does not go together with so many flows to `target`, in words.
    pub(super) fn check(&self, target: &Target, flows: u32) -> Result<(), String> {
        let source = self.source();
        if target.transport.is_local() && source != Source::default() {
            return Err(format!("{target} has no source addresses or ports: leave --source and --source-port out"));
        }
        if let Some(most) = source.flows_max().filter(|most| *most < u64::from(flows)) {
            return Err(format!("--flows {flows}, but --source and --source-port make only {most}"));
        }
        if self.overflow == Overflow::Drop && !target.transport.is_stream() {
            return Err(format!("--overflow is for streams (tcp, tls, unix), not for {target}"));
        }
        if self.gso > 1 && target.transport != Transport::Udp {
            return Err(format!("--gso is for udp, not for {target}"));
        }
        if self.framing.is_some() && !target.transport.is_stream() {
            return Err(format!("--framing is for streams (tcp, tls, unix), not for {target}"));
        }
        if self.overflow == Overflow::Drop && flows > QUEUED_MAX {
            return Err(format!("--overflow drop takes at most {QUEUED_MAX} flows, not {flows}: each has a thread"));
        }
        Ok(())
    }
}
