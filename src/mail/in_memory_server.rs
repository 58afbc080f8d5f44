//! An in-memory mail server for tests and simulations: accepts every mail, or responds as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::message::OutgoingMail;
use super::send_fault::{AcceptedMail, FaultClass, SendFault, SmtpStep};

/// A handle of the mail server; clones share it.
#[derive(Clone, Default)]
pub struct InMemoryServer(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    sent: Vec<OutgoingMail>,
    next: VecDeque<Turn>,
}

enum Turn {
    Refuse(SendFault),
    LoseAnswer,
}

impl InMemoryServer {
    /// The next mail, after those already scheduled, gets this fault.
    pub fn fail_next(&self, fault: SendFault) {
        self.script().next.push_back(Turn::Refuse(fault));
    }

    /// The next mail, after those already scheduled, is accepted, but the response is lost.
    pub fn lose_next_answer(&self) {
        self.script().next.push_back(Turn::LoseAnswer);
    }

    /// Accepts every mail from now on; scheduled faults are dropped.
    pub fn recover(&self) {
        self.script().next.clear();
    }

    /// Takes the accepted mails, in order.
    #[must_use]
    pub fn take_sent(&self) -> Vec<OutgoingMail> {
        std::mem::take(&mut self.script().sent)
    }

    pub(super) fn send(&self, outgoing: &OutgoingMail) -> Result<AcceptedMail, SendFault> {
        let mut script = self.script();
        let turn = script.next.pop_front();
        if let Some(Turn::Refuse(fault)) = turn {
            return Err(fault);
        }
        script.sent.push(outgoing.clone());
        match turn {
            None => Ok(AcceptedMail("accepted by your mail server (250 in memory)".to_owned())),
            Some(_) => {
                let text = "the connection was closed";
                let fault = SendFault::without_answer(FaultClass::Temporary, SmtpStep::Data, text);
                Err(SendFault { unclear: true, ..fault })
            }
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
