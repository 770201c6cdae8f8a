#include "bench/subscribers/nginx.h"

#include <stdexcept>

#include <fmt/format.h>

#include "base/file.h"

namespace feedvault::bench {
namespace {

// What stands before the texts: no file and no log, nothing but sockets and memory.
constexpr const char* kHead = R"(daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr crit;
pid {0}/pid;
load_module {1}/usr/lib/nginx/modules/ngx_http_echo_module.so;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  tcp_nodelay on;
  default_type text/event-stream;
  client_body_temp_path {0}/body;
  proxy_temp_path {0}/proxy;
  fastcgi_temp_path {0}/fastcgi;
  uwsgi_temp_path {0}/uwsgi;
  scgi_temp_path {0}/scgi;
  server {{
    listen 127.0.0.1:{2} backlog=4096;
    location /live {{
)";

}  // namespace

Nginx::Nginx(const std::string& root,
             const std::vector<std::string>& texts,
             std::chrono::milliseconds pause)
    : port_(testing::free_port()) {
  std::string config = fmt::format(kHead, folder_.path(), root, port_);
  // Before the first: the readers are to be there.
  for (const std::string& text : texts) {
    if (text.find_first_of("'\\$") != std::string::npos) {
      throw std::runtime_error("nginx's configuration cannot hold " + text);
    }
    config += fmt::format("echo_sleep {}.{:03};\necho -n '{}';\necho_flush;\n",
                          pause.count() / 1000,
                          pause.count() % 1000,
                          text);
  }
  config += "    }\n  }\n}\n";
  const std::string file = folder_.file("nginx.conf");
  if (!replace_file(file, config).ok()) {
    throw std::runtime_error("cannot write " + file);
  }
  process_ = std::make_unique<testing::Process>(testing::Process::Options{
      .command = {root + "/usr/sbin/nginx", "-p", folder_.path(), "-c", file},
      .environment = {},
      .output_file = folder_.file("log"),
      .working_folder = {}});
  testing::eventually(
      [this] { return !process_->running() || testing::accepts_connections(port_); });
  if (!process_->running()) {
    throw std::runtime_error("nginx does not start: " + process_->output());
  }
}

}  // namespace feedvault::bench
