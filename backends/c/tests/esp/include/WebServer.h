/* Stand-in for Arduino's. */
#ifndef STAND_IN_WEBSERVER_H
#define STAND_IN_WEBSERVER_H
class WebServer {
 public:
  explicit WebServer(int port);
  void on(const char *path, void (*handler)());
  void send(int code, const char *type, const char *body);
  void begin();
  void handleClient();
};
#endif
