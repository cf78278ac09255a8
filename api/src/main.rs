//! `tandem-api`: takes webhooks, and serves operators. As many of them as one likes, behind any balancer.

use std::env::VarError;
use std::process::ExitCode;

use tandem_api::ApiToken;
use tandem_api::service::{self, ServiceOptions};
use tandem_runtime::process::{self, API_TOKEN_VARIABLE, Role, StartError};

fn main() -> ExitCode {
    process::main(Role::Api, async |process, tasks| {
        let options = ServiceOptions {
            listen: process.listen,
            token: token()?,
            file_token: None,
            metrics: process.metrics.clone(),
        };
        let (platform, configuration) = (&process.platform, &process.configuration);
        service::start(platform, configuration, &process.built, options, tasks).await
    })
}

/// With a token the API asks for it; without, only programs on this machine may use the API.
fn token() -> Result<Option<ApiToken>, StartError> {
    let token = match std::env::var(API_TOKEN_VARIABLE) {
        Ok(token) => Some(token),
        Err(VarError::NotPresent) => None,
        // Somebody wants a token to be asked for: none must not be what comes of it.
        Err(VarError::NotUnicode(_)) => {
            return Err(StartError::Option {
                name: API_TOKEN_VARIABLE,
                reason: "it holds bytes that are no UTF-8".to_owned(),
            });
        }
    };
    let token = token.filter(|token| !token.is_empty());
    token
        .map(|token| ApiToken::new(&token))
        .transpose()
        .map_err(|error| StartError::Option {
            name: API_TOKEN_VARIABLE,
            reason: error.to_string(),
        })
}
