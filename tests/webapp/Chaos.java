import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** A session that is a list: each change appends a token of its own, each answer tells the whole list. */
public class Chaos extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String what = request.getPathInfo().substring(1);
        HttpSession session = request.getSession(what.equals("begin"));
        if (session != null) {
            change(what, request, session);
        }
        Common.pause(request);
        boolean ended = session == null || what.equals("end");
        byte[] text = (ended ? "nothing\n" : "user=" + session.getAttribute("user") + " tokens="
            + session.getAttribute("tokens") + "\n").getBytes(StandardCharsets.UTF_8);
        response.setContentType("text/plain");
        response.setContentLength(text.length);
        response.getOutputStream().write(text);
        // Complete before Tomcat saves the session.
        if (request.getParameter("early") != null) {
            response.flushBuffer();
        }
    }

    private static void change(String what, HttpServletRequest request, HttpSession session) {
        if (what.equals("begin")) {
            session.setAttribute("user", request.getParameter("user"));
            session.setAttribute("tokens", "");
        }
        if (what.equals("rotate")) {
            request.changeSessionId();
        }
        if (request.getParameter("token") != null) {
            session.setAttribute("tokens", session.getAttribute("tokens") + request.getParameter("token") + ",");
            String slow = request.getParameter("slow");
            session.setAttribute("slow", slow == null ? null : new Slow(Integer.parseInt(slow)));
        }
        if (request.getParameter("big") != null) {
            byte[] big = new byte[Integer.parseInt(request.getParameter("big"))];
            new java.util.Random(big.length).nextBytes(big);
            session.setAttribute("big", big);
        }
        if (what.equals("end")) {
            session.invalidate();
        }
    }
}
