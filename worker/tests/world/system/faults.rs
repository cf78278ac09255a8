//! What goes wrong with requests, and what people do at exact moments of them.

use std::time::Duration;

use tandem_connectors::ConnectorError;
use tandem_domain::{Fields, RecordId, Timestamp};

use super::FakeSystem;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrived.
    LostRequest,
    /// It was carried out, and the answer never came.
    LostResponse,
    /// Its answer never came, and it is carried out so long after.
    Late(Duration),
    /// It is answered, and never carried out.
    Ignored,
    /// A create is answered with what it was told, and nothing is made.
    MakesNothing,
    /// It is answered, and carried out so long after.
    Queued(Duration),
    /// The process dies before it is sent.
    CrashBefore,
    /// The process dies when it was carried out.
    CrashAfter,
    /// The system says that it is down.
    Down,
    /// Somebody has the record open: the system says that it changed meanwhile.
    Locked,
    /// There is no way to the system for writes: none is sent.
    NotSent,
    /// The system refuses the write, whatever it holds.
    Refused,
    /// Its settings do not fit ours: it cannot take the write.
    Misconfigured,
}

/// A moment of a request about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It is about to be read.
    BeforeRead,
    /// It was read, and the answer is on its way.
    AfterRead,
    /// A write has arrived, and nothing was checked yet.
    BeforeWrite,
    /// It was carried out, and the answer, with what it holds, is on its way.
    AfterWrite,
}

/// What a person does then.
pub type Deed = Box<dyn FnOnce(&FakeSystem) + Send>;

/// A write as it arrives.
#[derive(Clone, Debug)]
pub enum Effect {
    Create {
        transaction: String,
        fields: Fields,
    },
    Update {
        id: RecordId,
        fields: Fields,
        /// Where the system compares versions.
        expected: Option<String>,
    },
    Delete {
        id: RecordId,
        /// Where the system compares versions.
        expected: Option<String>,
    },
}

/// When a write arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    InTime,
    /// At this instant, long after Tandem has stopped waiting for its answer.
    Late(Timestamp),
}

/// A write that lands later.
#[derive(Clone, Debug)]
pub struct Landing {
    pub sent: Timestamp,
    pub at: Timestamp,
    pub effect: Effect,
}

impl Effect {
    pub const fn target(&self) -> Option<&RecordId> {
        match self {
            Self::Create { .. } => None,
            Self::Update { id, .. } | Self::Delete { id, .. } => Some(id),
        }
    }
}

impl FakeSystem {
    /// The next requests go wrong, one each.
    pub fn go_wrong(&self, faults: &[Fault]) {
        self.faults().extend_from_slice(faults);
    }

    /// Whether a request is still to go wrong.
    pub fn is_to_go_wrong(&self) -> bool {
        !self.faults().is_empty()
    }

    /// Nothing goes wrong any more, and nobody comes between.
    pub fn heal(&self) {
        self.faults().clear();
        self.deeds().clear();
    }

    /// Somebody does this at that moment of the next request about the record.
    pub fn once(
        &self,
        moment: Moment,
        record: &RecordId,
        deed: impl FnOnce(&Self) + Send + 'static,
    ) {
        self.deeds().push((moment, record.clone(), Box::new(deed)));
    }

    pub(super) fn comes(&self, moment: Moment, record: &RecordId) {
        let due = |deeds: &[(Moment, RecordId, Deed)]| {
            deeds
                .iter()
                .position(|(when, whose, _)| *when == moment && whose == record)
        };
        let deed = {
            let mut deeds = self.deeds();
            due(&deeds).map(|number| deeds.remove(number).2)
        };
        if let Some(deed) = deed {
            deed(self);
        }
    }

    /// The next fault, if this is a request that it can strike: reads only meet systems that are down.
    pub(super) fn next_fault(&self, writing: bool) -> Option<Fault> {
        let mut faults = self.faults();
        let fault = *faults.first()?;
        if !writing && fault != Fault::Down {
            return None;
        }
        faults.remove(0);
        self.note(format!("meets {fault:?}"));
        Some(fault)
    }

    /// Lets the process die: the driver drops the job, which never goes on from here.
    pub(super) async fn die<T>(&self) -> T {
        self.crashed.notify_one();
        std::future::pending().await
    }

    /// A write meets its fault, if there is one.
    pub(super) async fn write(&self, effect: Effect) -> Result<RecordId, ConnectorError> {
        let target = effect.target().cloned();
        if let Some(id) = &target {
            self.comes(Moment::BeforeWrite, id);
        }
        match self.next_fault(true) {
            None => self.carry_out(effect),
            Some(Fault::Down) => Err(self.unreachable()),
            Some(Fault::Locked) => Err(self.changed_meanwhile("somebody has it open")),
            Some(Fault::NotSent) => Err(self.unreachable()),
            Some(Fault::Refused) => Err(self.refused("the account is closed")),
            Some(Fault::Misconfigured) => Err(self.misconfigured("there is no such list")),
            Some(Fault::LostRequest) => Err(self.lost()),
            Some(Fault::LostResponse) => {
                let _ = self.carry_out(effect);
                Err(self.lost())
            }
            Some(Fault::Late(by)) => {
                self.lands_later(effect, by);
                Err(self.lost())
            }
            Some(Fault::Ignored) => match target {
                Some(id) => {
                    self.state().ignored.insert(id.clone());
                    Ok(id)
                }
                None => self.carry_out(effect),
            },
            Some(Fault::MakesNothing) => {
                let made = self.carry_out(effect)?;
                if target.is_none() {
                    self.state().unmade.insert(made.clone());
                }
                Ok(made)
            }
            Some(Fault::Queued(by)) => match target {
                Some(id) => {
                    self.lands_later(effect, by);
                    Ok(id)
                }
                None => self.carry_out(effect),
            },
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) => {
                let _ = self.carry_out(effect);
                self.die().await
            }
        }
    }

    pub(super) fn unreachable(&self) -> ConnectorError {
        ConnectorError::Unreachable {
            system: self.name().into(),
            reason: "down".into(),
            retry_after: None,
        }
    }

    fn refused(&self, message: &str) -> ConnectorError {
        ConnectorError::Refused {
            system: self.name().into(),
            operation: "write".into(),
            message: message.into(),
            field: None,
        }
    }

    fn misconfigured(&self, reason: &str) -> ConnectorError {
        ConnectorError::Misconfigured {
            system: self.name().into(),
            reason: reason.into(),
        }
    }

    pub(super) fn lost(&self) -> ConnectorError {
        ConnectorError::ResponseLost {
            system: self.name().into(),
            operation: "write".into(),
            reason: "cut".into(),
        }
    }

    pub(super) fn changed_meanwhile(&self, message: &str) -> ConnectorError {
        ConnectorError::VersionConflict {
            system: self.name().into(),
            message: message.into(),
        }
    }
}
