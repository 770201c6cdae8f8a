#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "storage/catalogue_reader.h"
#include "storage/range_reader.h"
#include "storage/session.h"

namespace feedvault::storage {

/// Reads what a Scan wants on a session that it borrows, one bounded statement a call.
class ScanReader {
 public:
  explicit ScanReader(Session& session) : session_(session) {}

  /// See CatalogueReader::scan().
  Result<std::uint64_t> read(const Scan& scan, const std::function<bool(const Row&)>& each);

 private:
  Result<Statement*> statement_for(const Scan& scan);

  Session& session_;
  /// By their SQL: one a combination of conditions, few of which are in use at a time.
  std::map<std::string, Statement> statements_;
  MessageFetcher fetcher_;
  Row row_;  // its memory is used again
};

}  // namespace feedvault::storage
