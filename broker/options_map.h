#pragma once

#include <string>
#include <vector>

#include "broker/nats_conf.h"
#include "broker/options.h"

namespace feedvault::broker {

// Private to the options: what keys there are, and what they set.

/// Applies the top-level keys of a configuration (or the keys of TOML's [broker], which are spelled
/// the same).
Status apply_configuration(const ConfValue& root,
                           Options& options,
                           std::vector<std::string>& warnings);

/// Is there such a top-level key?
bool is_configuration_key(std::string_view name);

/// "authorization { ... }".
Status apply_authorization(const ConfValue& map,
                           AuthorizationOptions& options,
                           std::vector<std::string>& warnings);

/// "accounts { ... }": the system account's users, and those of at most one other account, since
/// this broker cannot keep several apart. `system_account` is that account's name.
Status apply_accounts(const ConfValue& value,
                      const std::string& system_account,
                      AuthorizationOptions& options,
                      std::vector<std::string>& warnings);

/// What no single key can tell: contradictions, missing files' names, users. Also after the flags.
Status check_options(const Options& options);

/// A [broker] table of a TOML file (and its [nats], [monitor] and [log]) as a configuration, with
/// the environment's FEEDVAULT_<SECTION>_<KEY> put over it. An absent file is an empty one.
struct TomlConfiguration {
  ConfValue broker;
  std::vector<std::string> warnings;
};
Result<TomlConfiguration> load_toml(const std::string& path, const char* const* environment);
Result<TomlConfiguration> parse_toml(std::string_view text,
                                     const std::string& path,
                                     const char* const* environment);

/// Puts the flags over the options.
Status apply_flags(const std::vector<std::string>& flags,
                   Options& options,
                   std::vector<std::string>& warnings);

}  // namespace feedvault::broker
