//! Judges whether two systems agree, from their states alone.
//!
//! The records of both systems are first sorted into companies (`groups`), then each company is
//! judged:
//!
//! - **Lost**: a company that was there at the start, or that a user created since, and that has
//!   no live record on one side. Not lost is one of which a user archived a record, nor one that is
//!   inactive in the CRM and archived in the finance system: to the latter these are the same.
//! - **Doubled**: live records of a company on a side, less the number it had there at the start
//!   (less one if it had none), summed where positive. A duplicate that was there at the start
//!   therefore does not count, one made of it does.
//! - **Different**: each live finance record must agree in every field with at least one live CRM
//!   record of its company; the differences from the nearest one are listed. So where the CRM
//!   holds a company twice, one agreeing copy is enough. A company of which no record was seeded
//!   or made by a user is a **stray**: the API created it out of nothing.
//!
//! Values are compared without surrounding spaces; e-mail also without case, name with runs of
//! spaces as one (its case counts), the credit limit as a number.

mod groups;

use serde::{Serialize, Serializer};

use crate::fields::{Field, Fields, collapse_spaces, decimal, email_key};
use crate::state::{Origin, SimRecord, SimState};
use groups::{Group, Member, group};

/// The verdict over two systems.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Nothing is lost, doubled or different.
    pub agree: bool,
    /// Companies with a live record on either side.
    pub records: usize,
    pub lost: usize,
    pub doubled: usize,
    pub differences: Vec<Difference>,
    /// The lost companies, for people to look up.
    pub lost_companies: Vec<String>,
    /// The companies with records too many, for people to look up.
    pub doubled_companies: Vec<String>,
}

/// One thing that the two sides say differently of a company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The company's name on the side that has it.
    pub company: String,
    pub aspect: Aspect,
    pub crm_id: Option<String>,
    pub finance_id: Option<String>,
    pub crm: Option<String>,
    pub finance: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// This field has two values.
    Field(Field),
    /// The records were created through the API and belong to no company.
    Stray,
}

impl Serialize for Aspect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Aspect::Field(field) => field.name(),
            Aspect::Stray => "stray",
        })
    }
}

/// Compares two systems; the initial states are those from before the product first ran.
pub fn compare(
    crm: &SimState,
    finance: &SimState,
    initial_crm: &SimState,
    initial_finance: &SimState,
) -> Comparison {
    let mut verdict = Comparison {
        agree: true,
        records: 0,
        lost: 0,
        doubled: 0,
        differences: Vec::new(),
        lost_companies: Vec::new(),
        doubled_companies: Vec::new(),
    };
    for group in group(crm, finance, initial_crm, initial_finance) {
        judge(&mut verdict, &group);
    }
    verdict.agree = verdict.lost == 0 && verdict.doubled == 0 && verdict.differences.is_empty();
    verdict
}

fn judge(verdict: &mut Comparison, group: &Group<'_>) {
    let (crm, finance) = (live(&group.crm), live(&group.finance));
    if !(crm.is_empty() && finance.is_empty()) {
        verdict.records += 1;
    }
    let doubled = doubled(&group.crm, crm.len()) + doubled(&group.finance, finance.len());
    if doubled > 0 {
        verdict.doubled += doubled;
        verdict.doubled_companies.push(group.label());
    }
    if is_stray(group) {
        verdict.differences.extend(stray(&crm, &finance));
    } else if (crm.is_empty() || finance.is_empty()) && !is_excused(group) {
        verdict.lost += 1;
        verdict.lost_companies.push(group.label());
    }
    if !crm.is_empty() {
        verdict.differences.extend(
            finance
                .iter()
                .flat_map(|record| differences_from_nearest(&crm, record)),
        );
    }
}

fn live<'a>(members: &[Member<'a>]) -> Vec<&'a SimRecord> {
    members
        .iter()
        .filter_map(|member| member.current)
        .filter(|record| !record.archived)
        .collect()
}

fn doubled(members: &[Member<'_>], live: usize) -> usize {
    let at_start = members
        .iter()
        .filter(|member| member.was_live_at_start())
        .count();
    live.saturating_sub(at_start.max(1))
}

fn is_stray(group: &Group<'_>) -> bool {
    group.members().all(|member| {
        member.initial.is_none()
            && member
                .current
                .is_some_and(|record| record.origin == Origin::Api)
    })
}

fn stray(crm: &[&SimRecord], finance: &[&SimRecord]) -> Option<Difference> {
    let any = crm.first().or(finance.first())?;
    Some(Difference {
        company: any.fields.get(Field::Name).to_owned(),
        aspect: Aspect::Stray,
        crm_id: crm.first().map(|record| record.id.clone()),
        finance_id: finance.first().map(|record| record.id.clone()),
        crm: None,
        finance: None,
    })
}

/// Whether a company may rightly be missing on a side.
fn is_excused(group: &Group<'_>) -> bool {
    let archived_by =
        |member: &Member<'_>| member.current.filter(|record| record.archived)?.archived_by;
    if group
        .members()
        .any(|member| archived_by(member) == Some(Origin::User))
    {
        return true;
    }
    let crm = live(&group.crm);
    let inactive = !crm.is_empty()
        && crm
            .iter()
            .all(|record| record.fields.get(Field::Active) == "false");
    let archived = |member: &Member<'_>| member.current.is_some_and(|record| record.archived);
    inactive && group.finance.iter().any(archived)
}

fn differences_from_nearest(crm: &[&SimRecord], finance: &SimRecord) -> Vec<Difference> {
    let nearest = crm
        .iter()
        .map(|record| differences(record, finance))
        .min_by_key(Vec::len);
    nearest.unwrap_or_default()
}

fn differences(crm: &SimRecord, finance: &SimRecord) -> Vec<Difference> {
    let differing = Field::ALL
        .into_iter()
        .filter(|field| !equal(*field, &crm.fields, &finance.fields));
    let describe = |field| Difference {
        company: crm.fields.get(Field::Name).to_owned(),
        aspect: Aspect::Field(field),
        crm_id: Some(crm.id.clone()),
        finance_id: Some(finance.id.clone()),
        crm: Some(crm.fields.get(field).to_owned()),
        finance: Some(finance.fields.get(field).to_owned()),
    };
    differing.map(describe).collect()
}

fn equal(field: Field, a: &Fields, b: &Fields) -> bool {
    let (a, b) = (a.get(field).trim(), b.get(field).trim());
    match field {
        Field::Email => email_key(a) == email_key(b),
        Field::Name => collapse_spaces(a) == collapse_spaces(b),
        Field::CreditLimit => match (decimal(a), decimal(b)) {
            (Some(a), Some(b)) => a == b,
            (None, _) | (_, None) => a == b,
        },
        Field::Phone
        | Field::City
        | Field::Country
        | Field::TaxNumber
        | Field::Website
        | Field::Active => a == b,
    }
}

#[cfg(test)]
mod tests;
