//! `tandem webhook sign|verify|send`: the very code of the ingress, on the command line.

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tandem_connectors::webhook::{
    Outgoing, Scheme, SchemeOptions, Secret, Signed, Verifier, jsonl,
};
use tandem_domain::Clock;
use tandem_runtime::SystemClock;

/// The longest line that `verify --jsonl` reads, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What to do.
#[derive(Args)]
pub struct WebhookArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Verify requests: one JSON object a line on standard input, one verdict a line on standard output.
    Verify {
        /// Read JSON lines: {"id","scheme","secret","extra_secrets"?,"options"?,"method","url",
        /// "headers","body","body_encoding","now"}.
        #[arg(long, required = true)]
        jsonl: bool,
    },
    /// Print the headers that sign a body.
    Sign(Message),
    /// Sign a body and post it.
    Send(Message),
}

/// A message to sign.
#[derive(Args)]
struct Message {
    /// The scheme, such as `standard-webhooks-v1`, `hubspot-v3`, `stripe` or `generic-hmac-sha256`.
    #[arg(long)]
    scheme: Scheme,
    /// The secret as the vendor shows it, read from this environment variable.
    #[arg(long, value_name = "NAME")]
    secret_env: String,
    /// The scheme's options as JSON, such as {"header":"x-signature"}.
    #[arg(long, default_value = "{}")]
    options: String,
    /// Where it goes.
    #[arg(long)]
    url: String,
    /// The event's id, for schemes that sign one.
    #[arg(long)]
    id: Option<String>,
    /// The body; standard input when left out.
    #[arg(long)]
    body: Option<String>,
}

/// Runs one of them.
pub async fn run(args: WebhookArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Verify { jsonl: _ } => {
            verify_lines(std::io::stdin().lock(), std::io::stdout().lock())
        }
        Action::Sign(message) => {
            let (signed, _) = sign(&message)?;
            for (name, value) in signed.headers {
                println!("{name}: {value}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Send(message) => send(&message).await,
    }
}

fn verify_lines(mut input: impl BufRead, output: impl Write) -> anyhow::Result<ExitCode> {
    let mut output = std::io::BufWriter::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .context("reading standard input")?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        writeln!(output, "{}", jsonl::verify_line(&text)).context("writing standard output")?;
    }
    output.flush().context("writing standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn sign(message: &Message) -> anyhow::Result<(Signed, Vec<u8>)> {
    let options: SchemeOptions = serde_json::from_str(&message.options).context("--options")?;
    let verifier = Verifier::new(message.scheme, &options).context("--options")?;
    let secret = tandem_runtime::config::Reference::Env(message.secret_env.clone())
        .resolve(&tandem_runtime::config::process_environment)
        .map_err(anyhow::Error::msg)?;
    let body = match &message.body {
        Some(body) => body.clone().into_bytes(),
        None => {
            let mut body = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut body)
                .context("reading the body from standard input")?;
            body
        }
    };
    let outgoing = Outgoing {
        method: "POST",
        url: &message.url,
        id: message.id.as_deref(),
        body: &body,
    };
    let signed = verifier
        .sign(&outgoing, &Secret::new(secret), SystemClock.now().as_secs())
        .context("signing")?;
    Ok((signed, body))
}

async fn send(message: &Message) -> anyhow::Result<ExitCode> {
    let (signed, body) = sign(message)?;
    let mut request = tandem_connectors::http_client()
        .map_err(anyhow::Error::msg)?
        .post(&signed.url)
        .body(body);
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let answer = request
        .send()
        .await
        .with_context(|| format!("posting to {}", message.url))?;
    let status = answer.status();
    println!("{status}");
    if status.is_success() {
        Ok(ExitCode::SUCCESS)
    } else {
        bail!("the receiver answered {status}")
    }
}
