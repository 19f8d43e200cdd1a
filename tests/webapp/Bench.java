import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Random;

/** What the benchmarks ask for: a tiny answer, without a session, with one that is read, with one that is changed. */
public class Bench extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String what = request.getPathInfo();
        int n = 0;
        if (!what.equals("/plain")) {
            HttpSession session = request.getSession(what.equals("/change"));
            n = session == null ? -1 : n(session);
            if (what.equals("/change")) {
                if (n == 0) {
                    session.setAttribute("payload", payload(Integer.parseInt(request.getParameter("bytes"))));
                }
                session.setAttribute("n", ++n);
            }
        }
        byte[] body = ("n=" + n + "\n").getBytes(StandardCharsets.US_ASCII);
        response.setContentType("text/plain");
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    private static int n(HttpSession session) {
        Integer n = (Integer) session.getAttribute("n");
        return n == null ? 0 : n;
    }

    /** Letters without any order, as many as asked for. */
    private static String payload(int bytes) {
        Random random = new Random();
        StringBuilder text = new StringBuilder(bytes);
        while (text.length() < bytes) {
            text.append((char) ('a' + random.nextInt(26)));
        }
        return text.toString();
    }
}
