//! What a dry run says, in numbers and item by item. Each number is that of the items of its kind.

use tandem_domain::{ConflictId, Fields, RecordId, Side};
use tandem_engine::{LinkFate, Plan, WriteOp};

use crate::open_questions::{HeldFields, Question};

/// The record on side a and the one on side b, as far as there are any.
pub(super) type Ids<'a> = (Option<&'a RecordId>, Option<&'a RecordId>);

/// What a sync would do to one pair or record.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct PreviewItem {
    /// The record on side a, if there is one.
    pub a: Option<RecordId>,
    /// The record on side b, if there is one.
    pub b: Option<RecordId>,
    /// `create`, `update`, `delete`, `ask`, `hold`, `leave` where a field differs and stays so, `end` where a pair ends and
    /// nothing is written, or `rest` where the filters leave its like out.
    pub action: &'static str,
    /// The side that would be written, for writes.
    pub side: Option<Side>,
    /// The mapped fields that would be written.
    pub fields: Fields,
    /// Why, in words.
    pub reason: String,
    /// The open question that it waits for, or the answered one by which it is left, if one.
    pub question: Option<ConflictId>,
}

/// What a sync would do, in numbers and item by item.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Preview {
    /// Records listed on side a.
    pub listed_a: usize,
    /// Records listed on side b.
    pub listed_b: usize,
    /// Records of side a that the filters leave out; they are not among those that are listed.
    pub left_out_a: usize,
    /// The same of side b.
    pub left_out_b: usize,
    /// Pairs linked before.
    pub linked: usize,
    /// Pairs found by matching.
    pub matched: usize,
    /// Pairs (linked or matched) that hold the same values already.
    pub equal: usize,
    /// Records that would be created on side a.
    pub create_a: usize,
    /// Records that would be created on side b.
    pub create_b: usize,
    /// Records of side a that would be changed.
    pub update_a: usize,
    /// Records of side b that would be changed.
    pub update_b: usize,
    /// Records that would be deleted.
    pub delete: usize,
    /// Records held for an operator, because the match is not clear.
    pub held: usize,
    /// Records and pairs for which nothing is written, because an open question about them, their side, or a record that is
    /// like them waits for an answer.
    pub waiting: usize,
    /// Fields of linked pairs that differ and stay as they are: a person has answered so, or nothing has changed them since.
    pub left: usize,
    /// Fields of linked pairs that stay as they are for the same reason, while the other fields go on.
    pub waiting_fields: usize,
    /// Linked pairs that end, because a record of theirs is gone, with nothing written.
    pub ends: usize,
    /// Fields that an operator would be asked about.
    pub questions: usize,
    /// Rows that could not be read.
    pub unreadable: usize,
    /// Linked pairs that rest, because the filters leave a record out.
    pub filtered: usize,
    /// Records without a partner whose like on the other side the filters leave out: nothing is made for them.
    pub beside_left_out: usize,
    /// Linked pairs that are left alone, as a person said.
    pub left_alone: usize,
    /// Linked pairs of which nothing is planned, because a record of theirs is in no listing, and too many are not to
    /// read each by its id; or because it cannot be read.
    pub not_looked_at: usize,
    /// Records of which the listing shows only a part, and that are too many to read each by its id.
    pub in_part: usize,
    /// The sides that list nothing though they have linked records: a run would end there, and nothing is planned of them.
    pub emptied: Vec<Side>,
    /// Every item, in order of the above.
    pub items: Vec<PreviewItem>,
}

impl Preview {
    /// Nothing is done for a record or a pair before a person has answered.
    pub(super) fn wait(&mut self, asked: Question, ids: Ids<'_>) {
        self.waiting += 1;
        let question = Some(asked.id);
        self.items.push(PreviewItem {
            question,
            ..item("hold", ids, asked.to_string())
        });
    }

    /// A field differs, and nothing is written.
    pub(super) fn leave(&mut self, ids: Ids<'_>, why: String, question: Option<ConflictId>) {
        self.left += 1;
        self.items.push(PreviewItem {
            question,
            ..item("leave", ids, why)
        });
    }

    /// What is planned for a pair or a record, of which these fields wait, and others may stay different.
    pub(super) fn add(&mut self, planned: &Plan, held: &HeldFields, ids: Ids<'_>, differs: bool) {
        if let (Some(_), Some(_)) = ids
            && planned.writes.is_empty()
        {
            let is_settled = planned.questions.is_empty() && held.is_empty() && !differs;
            match planned.link {
                LinkFate::Keep => self.equal += usize::from(is_settled),
                LinkFate::Retire | LinkFate::Dissolve => self.end(ids),
            }
        }
        self.add_writes(planned, ids);
        for asked in &planned.questions {
            if !held.contains_key(&asked.field) {
                self.questions += 1;
                let (field, a, b) = (&asked.field, &asked.a, &asked.b);
                let why = format!("{field}: a has `{a}`, b has `{b}`");
                self.items.push(item("ask", ids, why));
            }
        }
        for (field, asked) in held {
            self.waiting_fields += 1;
            let question = Some(asked.id);
            self.items.push(PreviewItem {
                question,
                ..item("hold", ids, format!("{field}: {asked}"))
            });
        }
    }

    fn end(&mut self, ids: Ids<'_>) {
        self.ends += 1;
        let why =
            "a record of the pair is gone; the other, if it is there, is left alone from then on";
        self.items.push(item("end", ids, why.to_owned()));
    }

    fn add_writes(&mut self, planned: &Plan, ids: Ids<'_>) {
        for write in &planned.writes {
            let (action, count) = match (write.op, write.side) {
                (WriteOp::Create, Side::A) => ("create", &mut self.create_a),
                (WriteOp::Create, Side::B) => ("create", &mut self.create_b),
                (WriteOp::Update, Side::A) => ("update", &mut self.update_a),
                (WriteOp::Update, Side::B) => ("update", &mut self.update_b),
                (WriteOp::Delete, _) => ("delete", &mut self.delete),
            };
            *count += 1;
            let reasons = planned
                .decisions
                .iter()
                .filter(|one| write.fields.contains_key(&one.field));
            let mut reasons: Vec<&str> = reasons.map(|one| one.reason.as_str()).collect();
            reasons.dedup();
            self.items.push(PreviewItem {
                side: Some(write.side),
                fields: write.fields.clone(),
                ..item(action, ids, reasons.join("; "))
            });
        }
    }
}

/// An item that writes nothing.
pub(super) fn item(action: &'static str, (a, b): Ids<'_>, reason: String) -> PreviewItem {
    PreviewItem {
        a: a.cloned(),
        b: b.cloned(),
        action,
        side: None,
        fields: Fields::new(),
        reason,
        question: None,
    }
}
