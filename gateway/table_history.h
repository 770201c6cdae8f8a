#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/config.h"
#include "client/history_source.h"
#include "storage/catalogue_reader.h"

namespace feedvault::gateway {

/// History out of table Messages, over a database connection of its own that is opened at the first
/// call and again after a failure. One call at a time.
class TableHistory final : public HistorySource {
 public:
  TableHistory(const MysqlConfig& config, const std::vector<FeedConfig>& feeds);

  Result<HistoryPage> read_page(const std::string& feed, const HistoryRequest& request) override;
  Result<std::uint64_t> seq_at_time(const std::string& feed, std::int64_t timestamp_us) override;
  Result<SeqRange> held(const std::string& feed) override;

 private:
  Result<std::uint8_t> number_of(const std::string& feed) const;

  std::map<std::string, std::uint8_t> numbers_;
  std::unique_ptr<storage::CatalogueReader> reader_;
};

}  // namespace feedvault::gateway
