import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Collections;
import java.util.concurrent.atomic.AtomicLong;

/** Login and logout, streams, and what tests look at. */
public class Tools extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        response.setContentType("text/plain");
        Common.count(request.getServletPath());
        switch (request.getServletPath()) {
            case "/login": {
                HttpSession session = request.getSession();
                request.changeSessionId();
                session.setAttribute("user", request.getParameter("user"));
                Common.pause(request);
                response.getWriter().print(Common.describe(request, session));
                return;
            }
            case "/logout": {
                HttpSession session = request.getSession(false);
                if (session != null) {
                    session.invalidate();
                }
                response.getWriter().print("bye\n");
                return;
            }
            case "/whoami":
                Common.pause(request);
                response.getWriter().print(Common.describe(request, request.getSession(request.getParameter("create") != null)));
                return;
            case "/set": {
                HttpSession session = request.getSession();
                session.setAttribute("user", request.getParameter("user"));
                response.getWriter().print(Common.describe(request, session));
                return;
            }
            case "/self-call": {
                Common.write(request);
                java.net.URL url = new java.net.URL("http://127.0.0.1:" + request.getParameter("port") + request.getParameter("path"));
                java.net.HttpURLConnection inner = (java.net.HttpURLConnection) url.openConnection();
                inner.setRequestProperty("Cookie", request.getHeader("Cookie"));
                inner.setReadTimeout(60000);
                int status = inner.getResponseCode();
                String text = status == 200 ? new String(inner.getInputStream().readAllBytes()) : "";
                response.getWriter().print("inner=" + status + " inner-" + text + "\n" + Common.describe(request, request.getSession(false)));
                return;
            }
            case "/sse":
                response.setContentType("text/event-stream");
                for (int n = 0; n < Integer.parseInt(request.getParameter("n")); n++) {
                    response.getWriter().print("data: " + n + "\n\n");
                    response.flushBuffer();
                    Common.pause(request);
                }
                Common.write(request);
                return;
            case "/upload": {
                long read = 0;
                byte[] block = new byte[65536];
                InputStream in = request.getInputStream();
                for (int n = in.read(block); n >= 0; n = in.read(block)) {
                    read += n;
                }
                if (request.getParameter("nosession") == null) {
                    Common.write(request);
                }
                response.getWriter().print("read=" + read + " " + Common.describe(request, request.getSession(false)));
                return;
            }
            case "/download": {
                Common.count("downloads");
                long left = Long.parseLong(request.getParameter("bytes"));
                response.setContentLengthLong(left);
                OutputStream out = response.getOutputStream();
                byte[] block = new byte[65536];
                while (left > 0) {
                    int n = (int) Math.min(left, block.length);
                    out.write(block, 0, n);
                    left -= n;
                }
                return;
            }
            case "/headers":
                for (String name : Collections.list(request.getHeaderNames())) {
                    for (String value : Collections.list(request.getHeaders(name))) {
                        response.getWriter().print(name + ": " + value + "\n");
                    }
                }
                response.getWriter().print(Common.describe(request, request.getSession(false)));
                return;
            case "/unsent":
                response.setHeader("X-Satchel-Unsent", "1");
                response.setHeader("X-Session-Unsaved", "1");
                response.setStatus(503);
                response.getWriter().print("it has run\n");
                return;
            case "/stats": {
                AtomicLong count = Common.COUNTS.get(request.getParameter("key"));
                response.getWriter().print("count=" + (count == null ? 0 : count.get()) + "\n");
                return;
            }
            case "/unserializable":
                Common.write(request);
                request.getSession().setAttribute("broken", new Broken(request.getParameter("write") != null));
                response.getWriter().print("set\n");
                return;
            default:
                Common.write(request);
                response.getWriter().print("protected remote=" + request.getRemoteUser() + " "
                    + Common.describe(request, request.getSession(false)));
        }
    }
}
