import jakarta.servlet.DispatcherType;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** What is forwarded and dispatched to, and the error page. */
public class Inner extends HttpServlet {
    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        boolean late = request.getParameter("late") != null;
        boolean here = request.getDispatcherType() == DispatcherType.ERROR
            || request.getDispatcherType() == DispatcherType.ASYNC;
        if (late && here) {
            Common.write(request);
        }
        response.setContentType("text/plain");
        response.getWriter().print("inner " + Common.describe(request, request.getSession(false)));
    }
}
