//! What goes wrong with single pages of listings.

use std::sync::Mutex;
use std::time::Duration;

use tandem_connectors::ConnectorError;

use super::{FakeSystem, locked};

/// So long a system that is down asks to be left alone.
const DOWN: Duration = Duration::from_secs(600);

/// What happens once when a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFault {
    /// The process dies before it comes.
    Dies,
    /// The system says that it knows no such place.
    Expired,
    /// The system is down, for longer than a listing sits out.
    Down,
}

/// The pages that were asked for, by their first row, and what is to go wrong with which.
#[derive(Default)]
pub struct Pages {
    asked: Mutex<Vec<usize>>,
    faults: Mutex<Vec<(usize, PageFault)>>,
}

impl FakeSystem {
    /// The next request for the page that begins at this row meets this.
    pub fn goes_wrong_at_page(&self, row: usize, fault: PageFault) {
        locked(&self.pages.faults).push((row, fault));
    }

    /// The first rows of the pages that were asked for, in order.
    pub fn pages_asked(&self) -> Vec<usize> {
        locked(&self.pages.asked).clone()
    }

    pub(super) async fn comes_to_page(&self, row: usize) -> Result<(), ConnectorError> {
        locked(&self.pages.asked).push(row);
        let fault = {
            let mut faults = locked(&self.pages.faults);
            let due = faults.iter().position(|(at, _)| *at == row);
            due.map(|number| faults.remove(number).1)
        };
        match fault {
            None => Ok(()),
            Some(PageFault::Dies) => self.die().await,
            Some(PageFault::Expired) => Err(ConnectorError::Refused {
                system: self.name().into(),
                operation: "list things".into(),
                message: "the cursor has expired".into(),
                field: None,
            }),
            Some(PageFault::Down) => Err(ConnectorError::Unreachable {
                system: self.name().into(),
                reason: "it is being maintained".into(),
                retry_after: Some(DOWN),
            }),
        }
    }
}
