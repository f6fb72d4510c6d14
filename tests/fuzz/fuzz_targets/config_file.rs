//! A config file: it is accepted, or refused with words on a line that it has.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match longhaul::config::parse(text, Path::new("/etc/longhaul/longhaul.yaml")) {
        Ok(config) => {
            assert!(!config.routes.is_empty());
            for route in &config.routes {
                assert!(config.services.contains_key(&route.service));
            }
        }
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
});
