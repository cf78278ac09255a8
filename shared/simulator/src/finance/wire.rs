//! How a contact looks on the wire, and what is read from one.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::book::Record;
use crate::clock::ms_json_date;
use crate::fields::Field;
use crate::world::Patch;

const PHONE_TYPE: &str = "DEFAULT";
const ADDRESS_TYPE: &str = "STREET";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContactList<'a> {
    pub contacts: Vec<ContactView<'a>>,
}

/// A contact, serialised straight from the record.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContactView<'a> {
    #[serde(rename = "ContactID")]
    contact_id: &'a str,
    name: &'a str,
    email_address: &'a str,
    phones: [PhoneView<'a>; 1],
    addresses: [AddressView<'a>; 1],
    tax_number: &'a str,
    website: &'a str,
    /// A JSON number with the digits as stored; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_limit: Option<&'a RawValue>,
    account_number: &'a str,
    contact_status: &'static str,
    #[serde(rename = "UpdatedDateUTC")]
    updated_date_utc: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneView<'a> {
    phone_type: &'static str,
    phone_number: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressView<'a> {
    address_type: &'static str,
    city: &'a str,
    country: &'a str,
}

impl<'a> From<&'a Record> for ContactView<'a> {
    fn from(record: &'a Record) -> ContactView<'a> {
        let fields = &record.fields;
        ContactView {
            contact_id: &record.id,
            name: fields.get(Field::Name),
            email_address: fields.get(Field::Email),
            phones: [PhoneView {
                phone_type: PHONE_TYPE,
                phone_number: fields.get(Field::Phone),
            }],
            addresses: [AddressView {
                address_type: ADDRESS_TYPE,
                city: fields.get(Field::City),
                country: fields.get(Field::Country),
            }],
            tax_number: fields.get(Field::TaxNumber),
            website: fields.get(Field::Website),
            // Stored amounts are decimals and so valid JSON; the empty text fails and is left out.
            credit_limit: serde_json::from_str(fields.get(Field::CreditLimit)).ok(),
            account_number: &record.reference,
            contact_status: if record.archived {
                "ARCHIVED"
            } else {
                "ACTIVE"
            },
            updated_date_utc: ms_json_date(record.updated_ms),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContactsInput {
    pub contacts: Vec<ContactInput>,
}

/// What a caller may say of a contact. The outer `Option` is "not mentioned", the inner one `null`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContactInput {
    #[serde(default, deserialize_with = "mentioned")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "mentioned")]
    email_address: Option<Option<String>>,
    #[serde(default)]
    phones: Vec<PhoneInput>,
    #[serde(default)]
    addresses: Vec<AddressInput>,
    #[serde(default, deserialize_with = "mentioned")]
    tax_number: Option<Option<String>>,
    #[serde(default, deserialize_with = "mentioned")]
    website: Option<Option<String>>,
    #[serde(default, deserialize_with = "mentioned")]
    credit_limit: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "mentioned")]
    account_number: Option<Option<String>>,
    contact_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PhoneInput {
    phone_type: String,
    #[serde(default, deserialize_with = "mentioned")]
    phone_number: Option<Option<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddressInput {
    address_type: String,
    #[serde(default, deserialize_with = "mentioned")]
    city: Option<Option<String>>,
    #[serde(default, deserialize_with = "mentioned")]
    country: Option<Option<String>>,
}

/// Keeps `null` apart from a field that is not there.
fn mentioned<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl ContactInput {
    /// The change this asks for; the errors are validation messages.
    pub(super) fn into_patch(self) -> Result<Patch, Vec<String>> {
        let mut given = vec![
            (Field::Name, self.name),
            (Field::Email, self.email_address),
            (Field::TaxNumber, self.tax_number),
            (Field::Website, self.website),
            (
                Field::CreditLimit,
                self.credit_limit.map(|raw| amount_text(&raw)),
            ),
        ];
        for phone in self
            .phones
            .into_iter()
            .filter(|phone| phone.phone_type == PHONE_TYPE)
        {
            given.push((Field::Phone, phone.phone_number));
        }
        for address in self
            .addresses
            .into_iter()
            .filter(|address| address.address_type == ADDRESS_TYPE)
        {
            given.push((Field::City, address.city));
            given.push((Field::Country, address.country));
        }
        let mut patch = Patch {
            reference: self.account_number.map(Option::unwrap_or_default),
            ..Patch::default()
        };
        let mut problems = Vec::new();
        for (field, value) in given {
            let Some(value) = value else { continue };
            match field.check(&value.unwrap_or_default()) {
                Ok(value) => drop(patch.fields.insert(field, value)),
                Err(problem) => problems.push(format!("{field}: {problem}")),
            }
        }
        if patch
            .fields
            .get(&Field::Name)
            .is_some_and(|name| name.trim().is_empty())
        {
            problems.push("The contact name must be specified".to_owned());
        }
        patch.archived = archived(self.contact_status.as_deref(), &mut problems);
        if problems.is_empty() {
            Ok(patch)
        } else {
            Err(problems)
        }
    }
}

fn archived(status: Option<&str>, problems: &mut Vec<String>) -> Option<bool> {
    match status {
        None => None,
        Some("ACTIVE") => Some(false),
        Some("ARCHIVED") => Some(true),
        Some(other) => {
            problems.push(format!("ContactStatus {other:?} is not ACTIVE or ARCHIVED"));
            None
        }
    }
}

/// The digits of an amount as they were sent, as a number or as text.
fn amount_text(raw: &RawValue) -> Option<String> {
    Some(raw.get().trim_matches('"').to_owned()).filter(|text| text != "null")
}
