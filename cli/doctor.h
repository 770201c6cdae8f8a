#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "cli/http_get.h"

// Private to `feedvault doctor`: its findings, and the examinations that make them. None changes
// anything.

namespace feedvault::cli {

enum class Grade : std::uint8_t { kOk, kWarn, kFail };

struct Finding {
  Grade grade = Grade::kOk;
  std::string check;   // "database rights"
  std::string text;    // what was found
  std::string remedy;  // what to do; empty when ok
};

/// What was found, in the order in which it is told. Value type.
class Findings {
 public:
  void ok(std::string check, std::string text) {
    add({Grade::kOk, std::move(check), std::move(text), ""});
  }
  void warn(std::string check, std::string text, std::string remedy) {
    add({Grade::kWarn, std::move(check), std::move(text), std::move(remedy)});
  }
  void fail(std::string check, std::string text, std::string remedy) {
    add({Grade::kFail, std::move(check), std::move(text), std::move(remedy)});
  }
  void add(Finding finding) { all_.push_back(std::move(finding)); }

  const std::vector<Finding>& all() const { return all_; }
  std::size_t count(Grade grade) const;

 private:
  std::vector<Finding> all_;
};

/// Secrets that not everybody can read, ports that differ, .proto files that load.
void examine_configuration(const Config& config, Findings& findings);

/// Account, schema, rights, durability, clock, disk. Whether the tables can be read.
bool examine_database(const Config& config, Findings& findings);

/// Connection, streams, monitoring, clock, disk. `catalogue`: whether the tables can be read, to be
/// compared with the streams.
void examine_broker(const Config& config, bool catalogue, Findings& findings);

/// Controller and gateway: whether they are what answers at their ports, and how they are.
void examine_services(const Config& config, const Place& gateway, Findings& findings);

/// A clock that was asked between two looks at ours; Unix microseconds. What the round trip leaves
/// open counts in its favour.
Finding judge_clock(const std::string& whose,
                    std::int64_t theirs_us,
                    std::int64_t before_us,
                    std::int64_t after_us);

/// Free room for `what` in `folder`; bytes.
Finding judge_disk(const std::string& what,
                   const std::string& folder,
                   std::uint64_t free,
                   std::uint64_t capacity);
/// The same of a folder of this machine; nothing when it cannot be seen.
void examine_disk(const std::string& what, const std::string& folder, Findings& findings);

bool is_loopback(const std::string& host);

}  // namespace feedvault::cli
