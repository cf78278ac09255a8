//! Plain lists and single rows: jobs, links, changes, runs.

use serde::{Deserialize, Serialize};
use tandem_domain::{ChangeId, ErrorCode, JobId, LinkId, RecordId, RunId, SyncName, Timestamp};
use tandem_store::{
    ChangeFilter, JobFilter, JobState, Link, LinkStanding, LinkState, Operation, RunFilter,
    RunKind, RunState,
};

use crate::operator::{checked, page_rows};
use crate::span::{self, before};
use crate::views::{ChangeView, JobDetail, JobView, LinkView, Page, RunView};
use crate::{Operator, OperatorError};

/// Which jobs to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobQuery {
    /// Only in this state.
    pub state: Option<JobState>,
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only with this failure.
    pub code: Option<ErrorCode>,
    /// Only about this record.
    pub record: Option<RecordId>,
    /// Only since this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<JobId>,
    /// How many.
    pub limit: Option<usize>,
}

/// Which changes to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeQuery {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only about this record, on either side.
    pub record: Option<RecordId>,
    /// Only of this link.
    pub link: Option<LinkId>,
    /// Only of this kind.
    pub operation: Option<Operation>,
    /// Only since this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<ChangeId>,
    /// How many.
    pub limit: Option<usize>,
}

/// Which runs to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunQuery {
    /// Only of this sync.
    pub sync: Option<SyncName>,
    /// Only of this kind.
    pub kind: Option<RunKind>,
    /// Only in this state.
    pub state: Option<RunState>,
    /// Only since this instant.
    #[serde(with = "crate::views::when_opt")]
    pub since: Option<Timestamp>,
    /// Only until this instant.
    #[serde(with = "crate::views::when_opt")]
    pub until: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<RunId>,
    /// How many.
    pub limit: Option<usize>,
}

impl Operator {
    /// Jobs, newest first.
    ///
    /// # Errors
    /// When nothing is known of what the list is narrowed to, or the storage fails.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page<JobView>, OperatorError> {
        let checks = [
            span::check(query.since, query.until),
            self.check_sync(query.sync.as_ref()).await,
        ];
        let limit = checked(query.limit, checks)?;
        let filter = JobFilter {
            state: query.state,
            sync: query.sync,
            code: query.code,
            record: query.record.clone(),
            lane: None,
            before: before(query.cursor, query.until, JobId::least),
            limit,
        };
        let jobs = self.store().jobs(&filter).await?;
        if jobs.is_empty() {
            self.check_record(query.record.as_ref()).await?;
        }
        let views = jobs.into_iter().map(JobView::from).collect();
        let page = Page::new(views, limit, |job: &JobView| job.id.to_string());
        Ok(span::since(page, query.since, |job| job.id.made_at()))
    }

    /// One job with its failed attempts.
    ///
    /// # Errors
    /// When there is no such job, or the storage fails.
    pub async fn job(&self, id: JobId) -> Result<JobDetail, OperatorError> {
        let job = self.store().job(id).await?.ok_or_else(|| {
            OperatorError::not_found("job", id, "jobs that ended long ago are pruned")
        })?;
        let attempts = self.store().attempts(id).await?;
        Ok(JobDetail {
            job: job.into(),
            attempts: attempts.into_iter().map(Into::into).collect(),
        })
    }

    /// Links of a sync, all or those that stand so, in the order of their making.
    ///
    /// # Errors
    /// When there is no such sync, or the storage fails.
    pub async fn links(
        &self,
        sync: &SyncName,
        state: Option<LinkStanding>,
        cursor: Option<LinkId>,
        limit: Option<usize>,
    ) -> Result<Page<LinkView>, OperatorError> {
        self.known_sync(sync).await?;
        let limit = page_rows(limit)?;
        let links = match state {
            Some(state) => {
                self.store()
                    .links_standing(sync, state, cursor, limit)
                    .await?
            }
            None => self.store().links(sync, cursor, limit).await?,
        };
        let views = self.link_views(links).await?;
        Ok(Page::new(views, limit, |link: &LinkView| {
            link.id.to_string()
        }))
    }

    /// One link.
    ///
    /// # Errors
    /// When there is no such link, or the storage fails.
    pub async fn link(&self, id: LinkId) -> Result<LinkView, OperatorError> {
        let link = self.store().link(id).await?;
        let mut views = self.link_views(link.into_iter().collect()).await?;
        views.pop().ok_or_else(|| no_link(id))
    }

    /// Links as they are shown, with whether a person said to leave them alone.
    async fn link_views(&self, links: Vec<Link>) -> Result<Vec<LinkView>, OperatorError> {
        let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
        let alone = self.store().left_alone(&ids).await?;
        let retired = links
            .iter()
            .filter(|link| link.state == LinkState::Retired)
            .map(|link| link.id);
        let retired: Vec<LinkId> = retired.collect();
        let ends = match retired.is_empty() {
            true => Vec::new(),
            false => self.store().ends_of(&retired).await?,
        };
        let views = links.into_iter().map(|link| {
            let end = ends.iter().find(|end| end.link == Some(link.id));
            LinkView {
                left_alone: alone.contains(&link.id),
                ..LinkView::from(link.clone()).with_end(&link, end)
            }
        });
        Ok(views.collect())
    }

    /// Refuses a list that is narrowed to a link that never was.
    async fn check_link(&self, id: Option<LinkId>) -> Result<(), OperatorError> {
        let Some(id) = id else { return Ok(()) };
        match self.store().link(id).await? {
            Some(_) => Ok(()),
            None => Err(no_link(id)),
        }
    }

    /// The change log, newest first.
    ///
    /// # Errors
    /// When nothing is known of what the list is narrowed to, or the storage fails.
    pub async fn changes(&self, query: ChangeQuery) -> Result<Page<ChangeView>, OperatorError> {
        let checks = [
            span::check(query.since, query.until),
            self.check_sync(query.sync.as_ref()).await,
        ];
        let limit = checked(query.limit, checks)?;
        self.check_link(query.link).await?;
        let filter = ChangeFilter {
            sync: query.sync,
            record: query.record.clone(),
            link: query.link,
            operation: query.operation,
            before: before(query.cursor, query.until, ChangeId::least),
            limit,
        };
        let changes = self.store().changes(&filter).await?;
        if changes.is_empty() {
            self.check_record(query.record.as_ref()).await?;
        }
        let views = changes.into_iter().map(ChangeView::from).collect();
        let page = Page::new(views, limit, |change: &ChangeView| change.id.to_string());
        Ok(span::since(page, query.since, |change| change.id.made_at()))
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn runs(&self, query: RunQuery) -> Result<Page<RunView>, OperatorError> {
        let checks = [
            span::check(query.since, query.until),
            self.check_sync(query.sync.as_ref()).await,
        ];
        let limit = checked(query.limit, checks)?;
        let filter = RunFilter {
            sync: query.sync,
            kind: query.kind,
            state: query.state,
            before: before(query.cursor, query.until, RunId::least),
            limit,
        };
        let runs = self.store().runs(&filter).await?;
        let views = runs.into_iter().map(RunView::from).collect();
        let page = Page::new(views, limit, |run: &RunView| run.id.to_string());
        Ok(span::since(page, query.since, |run| run.id.made_at()))
    }

    /// One run.
    ///
    /// # Errors
    /// When there is no such run, or the storage fails.
    pub async fn run(&self, id: RunId) -> Result<RunView, OperatorError> {
        let run = self.store().run(id).await?;
        run.map(RunView::from).ok_or_else(|| {
            OperatorError::not_found("run", id, "runs that ended long ago are pruned")
        })
    }
}

fn no_link(id: LinkId) -> OperatorError {
    OperatorError::not_found("link", id, "list the links of the sync to see their ids")
}
