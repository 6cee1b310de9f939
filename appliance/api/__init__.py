"""The HTTP API in Flask: views that parse a request, call one service and render the result."""
