//! `tandem-api`: takes webhooks, and serves operators. As many of them as one likes, behind any balancer.

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
    let token = std::env::var(API_TOKEN_VARIABLE).ok();
    let token = token.filter(|token| !token.is_empty());
    token
        .map(|token| ApiToken::new(&token))
        .transpose()
        .map_err(|error| StartError::Option {
            name: API_TOKEN_VARIABLE,
            reason: error.to_string(),
        })
}
