import jakarta.servlet.AsyncContext;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpServletResponseWrapper;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.io.OutputStream;

/** Every kind of response that a session can be saved before, during or after. */
public class Kinds extends HttpServlet {
    private static final int LARGE = 200 * 1024;

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws ServletException, IOException {
        String kind = request.getPathInfo().substring(1);
        Common.count("runs");
        Common.count(kind);
        boolean late = request.getParameter("late") != null;
        response.setContentType("text/plain");
        // By a header, the same address may read and write.
        if (request.getParameter("read") != null || request.getHeader("X-Read") != null) {
            Common.pause(request);
            response.getWriter().print(Common.describe(request, request.getSession(false)));
            return;
        }
        if (request.getParameter("nosession") != null) {
            Common.pause(request);
            response.getWriter().print("nothing\n");
            return;
        }
        if (!late && !kind.equals("invalidate-new")) {
            Common.write(request);
        }
        switch (kind) {
            case "small":
                Common.pause(request);
                if (late) {
                    Common.write(request);
                }
                response.getWriter().print(Common.describe(request, request.getSession()));
                return;
            case "large-cl":
                response.setContentLength(LARGE);
                large(request, response, late);
                return;
            case "large-chunked":
                large(request, response, late);
                return;
            case "flush-cl":
                response.setContentLength(10);
                response.getOutputStream().write(new byte[10]);
                response.flushBuffer();
                after(request, late);
                return;
            case "flush":
                response.getWriter().print("first part\n");
                response.flushBuffer();
                after(request, late);
                response.getWriter().print(Common.describe(request, request.getSession(false)));
                return;
            case "closed":
                response.getWriter().print("all\n");
                response.getWriter().close();
                after(request, late);
                return;
            case "forward":
                request.getRequestDispatcher("/inner").forward(request, response);
                after(request, late);
                return;
            case "forward-wrapped":
                request.getRequestDispatcher("/inner").forward(request, new HttpServletResponseWrapper(response));
                after(request, late);
                return;
            case "redirect":
                response.sendRedirect(response.encodeRedirectURL(request.getContextPath() + "/kind/small?read=1"));
                after(request, late);
                return;
            case "senderror":
                // The late write is the error page's.
                response.sendError(500);
                return;
            case "not-modified":
                response.setStatus(304);
                after(request, late);
                return;
            case "public":
                response.setHeader("Cache-Control", "public, max-age=60");
                response.getWriter().print(Common.describe(request, request.getSession()));
                return;
            case "missing":
                // Tomcat's own error page.
                response.sendError(404);
                after(request, late);
                return;
            case "throw":
                throw new IllegalStateException("as asked");
            case "async-complete":
                asyncComplete(request, late);
                return;
            case "async-dispatch":
                AsyncContext context = request.startAsync();
                context.start(() -> {
                    Common.pause(request);
                    context.dispatch("/inner");
                });
                return;
            case "change-id":
                request.changeSessionId();
                after(request, late);
                response.getWriter().print(Common.describe(request, request.getSession(false)));
                return;
            case "invalidate":
                request.getSession().invalidate();
                Common.count("invalidated");
                Common.pause(request);
                response.getWriter().print("ended\n");
                return;
            case "invalidate-new":
                HttpSession old = request.getSession();
                Object n = old.getAttribute("n");
                old.invalidate();
                HttpSession fresh = request.getSession(true);
                fresh.setAttribute("n", n);
                Common.write(request, fresh);
                response.getWriter().print(Common.describe(request, fresh));
                return;
            default:
                throw new ServletException("unknown kind " + kind);
        }
    }

    private static void after(HttpServletRequest request, boolean late) {
        Common.pause(request);
        if (late) {
            Common.write(request);
        }
    }

    private static void large(HttpServletRequest request, HttpServletResponse response, boolean late)
            throws IOException {
        OutputStream out = response.getOutputStream();
        byte[] block = new byte[8192];
        for (int sent = 0; sent < LARGE; sent += block.length) {
            out.write(block);
        }
        after(request, late);
    }

    private static void asyncComplete(HttpServletRequest request, boolean late) {
        AsyncContext context = request.startAsync();
        context.start(() -> {
            Common.pause(request);
            try {
                if (late) {
                    Common.write(request);
                }
                context.getResponse().getWriter().print(Common.describe(request, request.getSession(false)));
            } catch (IOException e) {
                throw new RuntimeException(e);
            }
            context.complete();
        });
    }
}
