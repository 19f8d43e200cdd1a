import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.GregorianCalendar;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/** A session with attributes of every kind. Prints the name of each and its class. */
public class Bag extends HttpServlet {
    enum Colour { RED, GREEN }

    /** Fields of every type, arrays, and objects in objects. */
    static class Basket implements Serializable {
        private static final long serialVersionUID = 1;
        byte b = 1;
        char c = 'c';
        double d = 1.5;
        float f = 2.5f;
        int i = 3;
        long j = 4;
        short s = 5;
        boolean z = true;
        transient Object skipped = new Object();
        Object nothing;
        String secret = "secret-in-an-object";
        int[] numbers = {1, 2, 3};
        String[][] texts = {{"a", "b"}, null, {}};
        Object[] mixed = {1, "two", 3L, Colour.RED, null};
        Map<String, Object> map = new HashMap<>(Map.of("k", List.of(1, 2)));
        Object self = this;
        Basket inner;
    }

    /** A superclass, and data of its own behind its fields. */
    static class Crate extends Basket {
        private static final long serialVersionUID = 1;
        Colour colour = Colour.GREEN;

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeInt(7);
            out.writeObject(new int[] {1});
            out.writeUTF("behind");
        }

        private void readObject(java.io.ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            in.readInt();
            in.readObject();
            in.readUTF();
        }
    }

    /** Is written as another class. */
    static class Replaced implements Serializable {
        private static final long serialVersionUID = 1;

        private Object writeReplace() {
            return new Replacement();
        }
    }

    static class Replacement implements Serializable {
        private static final long serialVersionUID = 1;

        private Object readResolve() {
            return new Replaced();
        }
    }

    /** One in another in another. */
    static class Link implements Serializable {
        private static final long serialVersionUID = 1;
        Link next;
    }

    /** Has something in it that can't be written. */
    static class Broken implements Serializable {
        private static final long serialVersionUID = 1;
        String before = "before";
        Object inner = new Object();
    }

    static class Handler implements InvocationHandler, Serializable {
        private static final long serialVersionUID = 1;

        @Override
        public Object invoke(Object proxy, Method method, Object[] arguments) {
            return method.getName().equals("hashCode") ? (Object) 1 : null;
        }
    }

    private static Map<String, Object> attributes() {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("text", "a \u20ac text\twith \ud83d\ude00");
        all.put("text.empty", "");
        all.put("text.long", "x".repeat(70_000));
        all.put("n.boolean", true);
        all.put("n.byte", (byte) -1);
        all.put("n.char", '\u00e9');
        all.put("n.double", -0.25);
        all.put("n.float", 1.5f);
        all.put("n.int", 42);
        all.put("n.int.again", 42);
        all.put("n.long", Long.MIN_VALUE);
        all.put("n.short", (short) 7);
        all.put("n.decimal", new BigDecimal("12.50"));
        all.put("a.bytes", new byte[1000]);
        all.put("a.ints", new int[] {1, 2});
        all.put("a.texts", new String[][] {{"a"}, {}});
        all.put("a.objects", new Object[] {1, "b", new Basket()});
        all.put("c.hash", new HashMap<>(Map.of("a", 1, "b", new ArrayList<>(List.of("x")))));
        all.put("c.linked", new LinkedHashMap<>(Map.of("a", 1)));
        all.put("c.tree", new TreeMap<>(Map.of("a", 1, "b", 2)));
        all.put("c.concurrent", new ConcurrentHashMap<>(Map.of("a", 1, "b", 2)));
        all.put("c.set", new HashSet<>(List.of(1, 2)));
        all.put("c.list", new ArrayList<>(List.of(1, "x")));
        all.put("c.links", new LinkedList<>(List.of(1, 2)));
        all.put("c.deque", new ArrayDeque<>(List.of(1, 2)));
        all.put("c.unmodifiable", Collections.unmodifiableList(new ArrayList<>(List.of(1))));
        all.put("c.of", List.of(1, 2, 3));
        all.put("c.enum", new EnumMap<>(Map.of(Colour.RED, 1)));
        all.put("c.enums", EnumSet.of(Colour.RED));
        all.put("o.own", new Basket());
        Basket nested = new Basket();
        nested.inner = new Crate();
        all.put("o.nested", nested);
        all.put("o.sub", new Crate());
        all.put("o.shared", nested);
        all.put("o.replaced", new Replaced());
        Link link = new Link();
        for (int n = 0; n < 150; n++) {
            Link before = new Link();
            before.next = link;
            link = before;
        }
        all.put("o.chain", link);
        all.put("o.enum", Colour.GREEN);
        all.put("o.class", Basket.class);
        all.put("o.date", new Date());
        all.put("o.calendar", new GregorianCalendar());
        all.put("o.instant", Instant.now());
        all.put("o.uuid", UUID.randomUUID());
        all.put("o.locale", Locale.GERMANY);
        all.put("o.exception", new IllegalStateException("secret-in-an-exception"));
        all.put("o.proxy", Proxy.newProxyInstance(Bag.class.getClassLoader(), new Class<?>[] {Comparable.class}, new Handler()));
        all.put("x.broken", new Broken());
        return all;
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
        HttpSession session = request.getSession();
        if (request.getParameter("read") == null) {
            attributes().forEach(session::setAttribute);
        }
        response.setContentType("text/plain");
        for (String name : Collections.list(session.getAttributeNames())) {
            response.getWriter().print(name + " " + session.getAttribute(name).getClass().getTypeName() + "\n");
        }
    }
}
