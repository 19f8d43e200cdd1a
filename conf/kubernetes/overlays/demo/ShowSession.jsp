<%@ page contentType="text/html; charset=utf-8" import="java.net.InetAddress" %><%
Integer count = (Integer) session.getAttribute("count");
count = count == null ? 1 : count + 1;
session.setAttribute("count", count);
%><html><head><title>ShowSession</title></head><body>
<p>Session id is <%= session.getId() %></p>
<p>Server IP is <%= InetAddress.getLocalHost().getHostAddress() %></p>
<p>Server name is <%= request.getServerName() %></p>
<p>Count is <%= count %></p>
</body></html>
