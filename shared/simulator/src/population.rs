//! The companies that the simulated systems start with, as a pure function of the seed.
//!
//! Both systems derive their records from one population, so they overlap: about 60 % of the
//! companies are in both, 20 % in the CRM alone and 20 % in the finance system alone. The data is
//! as untidy as real data, and still decidable: names and e-mail addresses (after trimming, folding
//! case and collapsing spaces) belong to one company only, so there is always one right match.
//!
//! Absent on purpose: inactive companies. In the finance system `active` is its archived flag, so
//! an inactive company would start out of sight of a plain listing.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::chance::{Purpose, rng_for};
use crate::config::SimKind;
use crate::fields::{Field, Fields};

const IN_BOTH_PERCENT: u32 = 60;
const IN_CRM_ONLY_PERCENT: u32 = 20;
const DUPLICATED_IN_CRM: f64 = 0.02;
const EMAIL_MISSING_ON_ONE_SIDE: f64 = 0.05;
const UNTIDY_NAME: f64 = 0.15;
const UNTIDY_EMAIL: f64 = 0.15;
const FIELD_EMPTY_ON_ONE_SIDE: f64 = 0.04;

/// Fields that may be empty in one system while the other has a value.
const MAY_BE_EMPTY: [Field; 6] = [
    Field::Phone,
    Field::City,
    Field::Country,
    Field::TaxNumber,
    Field::Website,
    Field::CreditLimit,
];

const FIRST_WORDS: [&str; 16] = [
    "Amber", "Birch", "Cobalt", "Delta", "Ember", "Falcon", "Granite", "Harbour", "Indigo",
    "Juniper", "Kestrel", "Linden", "Meridian", "Northern", "Orchard", "Pioneer",
];
const TRADES: [&str; 16] = [
    "Bakeries",
    "Brewing",
    "Carpentry",
    "Chemicals",
    "Cycles",
    "Dairy",
    "Electrics",
    "Foods",
    "Freight",
    "Glass",
    "Instruments",
    "Logistics",
    "Machines",
    "Optics",
    "Printing",
    "Textiles",
];
const LEGAL_FORMS: [&str; 5] = ["GmbH", "Ltd", "SA", "BV", "Inc"];
const PLACES: [(&str, &str, &str, &str); 10] = [
    ("Berlin", "Germany", "DE", "+49 30"),
    ("Hamburg", "Germany", "DE", "+49 40"),
    ("Wien", "Austria", "AT", "+43 1"),
    ("Zürich", "Switzerland", "CH", "+41 44"),
    ("London", "United Kingdom", "GB", "+44 20"),
    ("Leeds", "United Kingdom", "GB", "+44 113"),
    ("Rotterdam", "Netherlands", "NL", "+31 10"),
    ("Lyon", "France", "FR", "+33 4"),
    ("Málaga", "Spain", "ES", "+34 95"),
    ("Boston", "United States", "US", "+1 617"),
];

/// One company of the population, as it truly is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    pub name: String,
    pub email: String,
    pub phone: String,
    pub city: String,
    pub country: String,
    pub tax_number: String,
    pub website: String,
    /// A decimal with two digits after the point.
    pub credit_limit: String,
    pub active: bool,
}

/// Where a company of the population starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub in_crm: bool,
    pub in_finance: bool,
    /// The CRM holds a second copy of it.
    pub duplicated: bool,
}

/// One record that a system starts with.
#[derive(Clone, Debug)]
pub(crate) struct SeedRecord {
    /// Index of the company in the population.
    pub company: usize,
    pub fields: Fields,
    /// This is the CRM's second copy of the company.
    pub second_copy: bool,
}

/// The first `n` companies of the world with this seed: the same ones, in the same order, always.
pub fn population(seed: u64, n: usize) -> Vec<Company> {
    (0..n).map(|index| company(seed, index)).collect()
}

fn company(seed: u64, index: usize) -> Company {
    let mut rng = rng_for(seed, Purpose::Company, index as u64);
    let number = index + 1;
    let first = pick(&mut rng, &FIRST_WORDS);
    let trade = pick(&mut rng, &TRADES);
    let form = pick(&mut rng, &LEGAL_FORMS);
    let (city, country, country_code, dialling) = pick(&mut rng, &PLACES);
    let domain = format!(
        "{}-{}-{number}.example",
        first.to_lowercase(),
        trade.to_lowercase()
    );
    Company {
        name: format!("{first} {trade} {number} {form}"),
        email: format!("office@{domain}"),
        phone: format!("{dialling} {}", rng.random_range(1_000_000..10_000_000)),
        city: city.to_owned(),
        country: country.to_owned(),
        tax_number: format!("{country_code}{:09}", rng.random_range(0..1_000_000_000)),
        website: format!("https://{domain}"),
        credit_limit: format!(
            "{}.{:02}",
            rng.random_range(5..500) * 100,
            rng.random_range(0..100)
        ),
        active: true,
    }
}

fn pick<T: Copy>(rng: &mut StdRng, choices: &[T]) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// Which systems the company with this index starts in.
pub(crate) fn membership(seed: u64, index: usize) -> Membership {
    let mut rng = rng_for(seed, Purpose::Membership, index as u64);
    let share = rng.random_range(0..100);
    let in_both = share < IN_BOTH_PERCENT;
    let in_crm = share < IN_BOTH_PERCENT + IN_CRM_ONLY_PERCENT;
    Membership {
        in_crm,
        in_finance: in_both || !in_crm,
        duplicated: in_crm && rng.random_bool(DUPLICATED_IN_CRM),
    }
}

/// What one system starts with: its first copies in the population's order, then second copies.
pub(crate) fn seed_records(kind: SimKind, seed: u64, n: usize) -> Vec<SeedRecord> {
    let mut records = Vec::with_capacity(n);
    let mut copies = Vec::new();
    for (index, company) in population(seed, n).into_iter().enumerate() {
        let member = membership(seed, index);
        let (crm, finance) = both_views(seed, index, &company, member);
        let (present, fields) = match kind {
            SimKind::Crm => (member.in_crm, crm),
            SimKind::Finance => (member.in_finance, finance),
        };
        if !present {
            continue;
        }
        if member.duplicated && kind == SimKind::Crm {
            let mut copy = fields.clone();
            copy.set(Field::Name, untidy_name(fields.get(Field::Name), index));
            copies.push(SeedRecord {
                company: index,
                fields: copy,
                second_copy: true,
            });
        }
        records.push(SeedRecord {
            company: index,
            fields,
            second_copy: false,
        });
    }
    records.append(&mut copies);
    records
}

/// The company as each system has it; both views come from one stream, so that no value is
/// missing on both sides.
fn both_views(seed: u64, index: usize, company: &Company, member: Membership) -> (Fields, Fields) {
    let mut rng = rng_for(seed, Purpose::Untidiness, index as u64);
    let mut crm = tidy_fields(company);
    let mut finance = crm.clone();
    let variant = rng.random_range(0..4);
    if rng.random_bool(UNTIDY_NAME) {
        finance.set(Field::Name, untidy_name(&company.name, variant));
    }
    if rng.random_bool(UNTIDY_EMAIL) {
        finance.set(Field::Email, untidy_email(&company.email, variant));
    }
    if member.in_crm && member.in_finance {
        if rng.random_bool(EMAIL_MISSING_ON_ONE_SIDE) && !member.duplicated {
            one_of(&mut rng, &mut crm, &mut finance).set(Field::Email, "");
        }
        for field in MAY_BE_EMPTY {
            if rng.random_bool(FIELD_EMPTY_ON_ONE_SIDE) {
                one_of(&mut rng, &mut crm, &mut finance).set(field, "");
            }
        }
    }
    (crm, finance)
}

fn one_of<'a>(rng: &mut StdRng, crm: &'a mut Fields, finance: &'a mut Fields) -> &'a mut Fields {
    if rng.random_bool(0.5) { crm } else { finance }
}

fn tidy_fields(company: &Company) -> Fields {
    let mut fields = Fields::default();
    fields.set(Field::Name, &company.name);
    fields.set(Field::Email, &company.email);
    fields.set(Field::Phone, &company.phone);
    fields.set(Field::City, &company.city);
    fields.set(Field::Country, &company.country);
    fields.set(Field::TaxNumber, &company.tax_number);
    fields.set(Field::Website, &company.website);
    fields.set(Field::CreditLimit, &company.credit_limit);
    fields.set(Field::Active, if company.active { "true" } else { "false" });
    fields
}

/// The same name to a person, another text to a program.
fn untidy_name(name: &str, variant: usize) -> String {
    match variant % 4 {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        2 => name.replacen(' ', "  ", 1),
        _ => format!("{}  ", name.to_uppercase().replacen(' ', "  ", 1)),
    }
}

fn untidy_email(email: &str, variant: usize) -> String {
    match variant % 3 {
        0 => email.to_uppercase(),
        1 => format!(" {email} "),
        _ => email.replacen("office", "Office", 1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fields::{email_key, name_key};

    #[test]
    fn the_same_seed_gives_the_same_population() {
        assert_eq!(population(7, 200), population(7, 200));
        assert_ne!(population(7, 200), population(8, 200));
        assert_eq!(population(7, 200)[..50], population(7, 50));
    }

    #[test]
    fn names_and_emails_belong_to_one_company_only() {
        let companies = population(3, 2_000);
        let names: HashSet<_> = companies
            .iter()
            .map(|company| name_key(&company.name))
            .collect();
        let emails: HashSet<_> = companies
            .iter()
            .map(|company| email_key(&company.email))
            .collect();
        assert_eq!((names.len(), emails.len()), (2_000, 2_000));
    }

    #[test]
    fn shares_of_the_two_systems_are_about_as_promised() {
        let members: Vec<_> = (0..10_000).map(|index| membership(1, index)).collect();
        let count = |test: fn(&&Membership) -> bool| members.iter().filter(test).count();
        assert!((5_800..6_200).contains(&count(|m| m.in_crm && m.in_finance)));
        assert!((1_800..2_200).contains(&count(|m| m.in_crm && !m.in_finance)));
        assert!((1_800..2_200).contains(&count(|m| !m.in_crm && m.in_finance)));
        assert!((110..220).contains(&count(|m| m.duplicated)));
        assert_eq!(count(|m| m.duplicated && !m.in_crm), 0);
    }

    #[test]
    fn every_record_can_be_matched_by_email_or_by_name() {
        let crm = seed_records(SimKind::Crm, 5, 3_000);
        let finance = seed_records(SimKind::Finance, 5, 3_000);
        let mut without_email = 0;
        for record in &finance {
            for other in crm.iter().filter(|other| other.company == record.company) {
                let (a, b) = (&record.fields, &other.fields);
                assert_eq!(name_key(a.get(Field::Name)), name_key(b.get(Field::Name)));
                let emails = [
                    email_key(a.get(Field::Email)),
                    email_key(b.get(Field::Email)),
                ];
                if emails.contains(&String::new()) {
                    without_email += 1;
                    assert_ne!(
                        emails[0], emails[1],
                        "the address is missing on one side only"
                    );
                } else {
                    assert_eq!(emails[0], emails[1]);
                }
            }
        }
        assert!(
            (50..140).contains(&without_email),
            "{without_email} addresses were missing"
        );
    }

    #[test]
    fn only_the_crm_has_second_copies() {
        assert!(
            seed_records(SimKind::Crm, 5, 1_000)
                .iter()
                .any(|record| record.second_copy)
        );
        assert!(
            !seed_records(SimKind::Finance, 5, 1_000)
                .iter()
                .any(|record| record.second_copy)
        );
    }
}
