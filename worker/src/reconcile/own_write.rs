//! What is remembered of our last write to a record: which time of change it has left, what it went over, and what it wrote.
//! By that an edit is told from our own write. Where somebody has edited the record beside it, the time is theirs.

use tandem_domain::{Side, Timestamp};
use tandem_engine::{Between, same};
use tandem_store::{Intent, IntentOp, LinkUpdate, OwnWrite};

use super::changed::{changed, could_be_of};
use super::linked::Open;
use super::overwritten::{beside_edit, seen_late};
use super::pair::CLOCK_SLACK;
use super::sending::Carried;
use crate::executor::{Work, shows_field};
use crate::readings::Reading;

/// What is remembered of our own last write to a side: of this one, of one that was found out about late, or of an
/// earlier one as long as nobody has changed the record since.
pub(super) fn own_write(
    work: Work<'_>,
    open: &Open,
    side: Side,
    now: &Reading,
    write: Option<&Carried>,
) -> Option<OwnWrite> {
    let look = open.pair.look(side);
    let fresh = |read_at: Timestamp| OwnWrite {
        before: look
            .reading
            .as_ref()
            .and_then(|before| before.record.updated_at),
        after: now.record.updated_at,
        read_at,
        replaced: look
            .reading
            .as_ref()
            .map(Reading::checksum)
            .unwrap_or_default(),
        fields: Vec::new(),
        wrote: Vec::new(),
        others_moved: false,
        made: false,
        unread: false,
        left: now.checksum(),
    };
    let names = |intent: &Intent| -> Vec<String> { intent.fields.keys().cloned().collect() };
    if let Some(write) = write {
        let made = write.intent.op == IntentOp::Create && write.met.is_none();
        let is_answer = write.between == Between::Nobody;
        return Some(OwnWrite {
            wrote: names(&write.intent),
            made,
            unread: made && write.unread,
            others_moved: look
                .reading
                .as_ref()
                .is_some_and(|before| others_moved(work, &write.intent, before, now)),
            // Only an answer may say something else than what is kept.
            fields: if is_answer {
                names(&write.intent)
            } else {
                Vec::new()
            },
            ..fresh(look.began)
        });
    }
    let is_told = open.overwritten.iter().any(|one| one.side == side);
    let earlier = open.link.side(side).memory.own_write.clone();
    let late = open.late_intents().find(|intent| intent.side == side);
    let is_dated = |intent: &Intent| is_of(work, earlier.as_ref(), intent);
    if let Some(intent) = late.filter(|intent| !is_dated(intent)) {
        if is_time_of_edit(work, open, intent, now) {
            return None;
        }
        // What it went over and is known is told once.
        let is_told = is_told || open.shown.covered().any(|one| one.0 == side);
        let own = seen_late(work, &open.link, intent, now);
        if is_told && own.after.is_none() {
            return None;
        }
        return Some(OwnWrite {
            before: own.before.filter(|_| !is_told),
            ..own
        });
    }
    let earlier = earlier.filter(|own| own.after == now.record.updated_at && !is_told);
    earlier.map(|own| OwnWrite {
        unread: false,
        ..beside_edit(work, &open.base, (side, now), &own)
    })
}

/// Whether somebody has edited a record beside a write of which only now is known that it took effect, and the time that the
/// record shows cannot be of the write.
fn is_time_of_edit(work: Work<'_>, open: &Open, intent: &Intent, now: &Reading) -> bool {
    let side = intent.side;
    let mut rules = work.sync.policy.fields.iter();
    let is_edited = rules.any(|rule| {
        let known = open.base.get(&rule.name).map(|base| base.side(side));
        let is_covered = open.shown.held(side, &rule.name).is_some();
        !is_covered
            && known.is_some_and(|known| !same(rule.equality, known, &now.value(&rule.name)))
    });
    let changed = changed(work, side, Some(now));
    is_edited && changed.is_some_and(|changed| !could_be_of(work, intent, changed))
}

/// Whether a field that a write did not name changed with it, be it one of the sync or another that people can edit.
fn others_moved(work: Work<'_>, intent: &Intent, before: &Reading, after: &Reading) -> bool {
    let side = intent.side;
    let policy = &work.sync.policy;
    let written: Vec<&str> = policy
        .fields
        .iter()
        .filter(|rule| intent.fields.contains_key(&rule.name))
        .map(|rule| rule.stream_field(side))
        .collect();
    let end = work.sync.end(side);
    let Some(stream) = end.connector.stream(&end.stream) else {
        return false;
    };
    // What nobody can write is worked out by the system, and may follow from our write.
    let editable = stream.fields.iter().filter(|(_, info)| info.writable);
    let mut others = editable.filter(|(name, _)| !written.contains(&name.as_str()));
    others.any(|(name, _)| before.record.fields.get(name) != after.record.fields.get(name))
}

/// Whether a reading shows all that our last write to a record has put there. So it was carried out, and who types what stood
/// there before has edited.
pub(super) fn shows_own_write(work: Work<'_>, open: &Open, side: Side, now: &Reading) -> bool {
    let Some(own) = &open.link.side(side).memory.own_write else {
        return false;
    };
    let rules = work.sync.policy.fields.iter();
    let mut wrote = rules.filter(|rule| own.wrote.contains(&rule.name));
    wrote.all(|rule| {
        let left = open.base.get(&rule.name).map(|base| base.side(side));
        left.is_none_or(|left| same(rule.equality, left, &now.value(&rule.name)))
    })
}

/// The link with the times of change that these writes have left; `None` where none shows.
pub(super) fn dated(work: Work<'_>, open: &Open, carried: &[Carried]) -> Option<LinkUpdate> {
    let (mut a, mut b) = (open.link.a.clone(), open.link.b.clone());
    for one in carried {
        let own = time_left(work, open, one);
        match one.intent.side {
            Side::A => a.memory.own_write = own.or(a.memory.own_write),
            Side::B => b.memory.own_write = own.or(b.memory.own_write),
        }
    }
    let is_any = open.link.a != a || open.link.b != b;
    is_any.then(|| open.link.with_sides(a, b))
}

/// What is known of an update that was carried out, where it shows, and nobody has edited the record right after it.
fn time_left(work: Work<'_>, open: &Open, one: &Carried) -> Option<OwnWrite> {
    let after = one
        .after
        .as_ref()
        .filter(|_| one.intent.op == IntentOp::Update)?;
    let mut sent = one.intent.fields.iter();
    let shows = sent.all(|(field, value)| shows_field(work.sync, field, value, &after.fields));
    let own = own_write(work, open, one.intent.side, after, Some(one))?;
    let is_ours = one.between == Between::Nobody || !own.others_moved;
    (shows && is_ours).then_some(OwnWrite {
        read_at: one.intent.created_at,
        ..own
    })
}

/// Whether it is this write, open in the journal yet, of which the link keeps the time that it has left. One that was sent
/// again after that may have left another since.
pub(super) fn is_of(work: Work<'_>, own: Option<&OwnWrite>, intent: &Intent) -> bool {
    let connector = &work.sync.end(intent.side).connector;
    let left = own.and_then(|own| own.after);
    let left = left.map(|left| left.shifted(-connector.clock_offset_micros()));
    let sent = intent.sent_at.map(|sent| sent.minus(CLOCK_SLACK));
    own.is_some_and(|own| {
        left >= sent
            && own.read_at == intent.created_at
            && own.wrote.iter().eq(intent.fields.keys())
    })
}
