import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpSession;
import java.net.InetAddress;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** What every part of the application does: count, and write the session. */
final class Common {
    static final Map<String, AtomicLong> COUNTS = new ConcurrentHashMap<>();

    private Common() {}

    static void count(String key) {
        COUNTS.computeIfAbsent(key, k -> new AtomicLong()).incrementAndGet();
    }

    /** Adds one to the session's counter; counts a mismatch when it was not what the client expected. */
    static int write(HttpServletRequest request) {
        return write(request, request.getSession());
    }

    static int write(HttpServletRequest request, HttpSession session) {
        String name = request.getParameter("key") == null ? "n" : request.getParameter("key");
        Integer n = (Integer) session.getAttribute(name);
        int before = n == null ? 0 : n;
        String expect = request.getParameter("expect");
        if (expect != null && Integer.parseInt(expect) != before) {
            count("mismatches");
        }
        session.setAttribute(name, before + 1);
        count("writes");
        if (request.getParameter("slow") != null) {
            session.setAttribute("slow", new Slow(Integer.parseInt(request.getParameter("slow"))));
        }
        if (request.getParameter("big") != null) {
            byte[] big = new byte[Integer.parseInt(request.getParameter("big"))];
            new java.util.Random(before).nextBytes(big);
            session.setAttribute("big", big);
        }
        if (request.getParameter("interval") != null) {
            session.setMaxInactiveInterval(Integer.parseInt(request.getParameter("interval")));
        }
        return before + 1;
    }

    static String describe(HttpServletRequest request, HttpSession session) {
        try {
            return "n=" + (session == null ? null : session.getAttribute("n"))
                + " id=" + (session == null ? null : session.getId())
                + " requested=" + request.getRequestedSessionId()
                + " valid=" + request.isRequestedSessionIdValid()
                + " user=" + (session == null ? null : session.getAttribute("user"))
                + " server=" + InetAddress.getLocalHost().getHostAddress()
                + " host=" + request.getServerName() + "\n";
        } catch (java.net.UnknownHostException e) {
            throw new RuntimeException(e);
        }
    }

    static void pause(HttpServletRequest request) {
        if (request.getParameter("ms") != null) {
            sleep(Integer.parseInt(request.getParameter("ms")));
        }
    }

    static void sleep(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
