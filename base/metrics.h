#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace feedvault {

// Counters, gauges and histograms for Prometheus. The handles are as cheap as a pointer: copy them.
// They live as long as the Metrics that made them; one made by default counts nothing. Any thread.

/// Something that happened so often. Only rises.
class Counter {
 public:
  Counter() = default;
  void increment() const { add(1); }
  template <typename Number>
  void increment(Number by) const {
    add(static_cast<double>(by));
  }
  double value() const;

 private:
  friend class Metrics;
  explicit Counter(void* native) : native_(native) {}
  void add(double by) const;

  void* native_ = nullptr;
};

/// Something that is so much just now.
class Gauge {
 public:
  Gauge() = default;
  template <typename Number>
  void set(Number value) const {
    put(static_cast<double>(value));
  }
  double value() const;

 private:
  friend class Metrics;
  explicit Gauge(void* native) : native_(native) {}
  void put(double value) const;

  void* native_ = nullptr;
};

/// How observations spread over buckets. Takes a lock per observation: one a batch, not one a
/// message.
class Histogram {
 public:
  Histogram() = default;
  void observe(double value) const;

 private:
  friend class Metrics;
  explicit Histogram(void* native) : native_(native) {}

  void* native_ = nullptr;
};

/// All metrics of one program. Asking again for the same name and labels gives the same metric.
/// Names are feedvault_<part>_<what>, with _total behind counters and the unit (_seconds, _bytes,
/// _messages) behind histograms; a name against this rule aborts.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  enum class Kind { kCounter, kGauge, kHistogram };

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  /// `bounds`: upper bounds of the buckets, rising.
  Histogram histogram(const std::string& name,
                      const std::string& help,
                      const std::vector<double>& bounds,
                      const Labels& labels = {});

  /// What /metrics answers with: the text format, version 0.0.4.
  std::string to_prometheus_text() const;

  /// What is wrong with a name; empty when nothing is.
  static std::string_view name_problem(std::string_view name, Kind kind);

 private:
  struct Registry;
  std::unique_ptr<Registry> registry_;
};

/// Content type of to_prometheus_text().
inline constexpr const char* kPrometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/// Bucket bounds for durations: 100 microseconds to 10 seconds, three a decade.
std::vector<double> latency_bounds_seconds();

}  // namespace feedvault
